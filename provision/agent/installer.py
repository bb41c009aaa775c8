"""Drives rattler: exactly the packages of a lock into a new prefix, with progress; no solver runs.

rattler is imported only in a child (apart.py): its processes crash at interpreter exit now and then, after the work
is done. Must not judge what came out (inspection.py does).
"""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, Optional

from . import apart, logins, reached
from .record import record
from .resource import Emit, Refusal
from .wheels import without_credentials

__all__ = ["Installation", "Unusable", "install"]

SILENCE = 900.0
"""Seconds without progress after which an installation is given up; unpacking one large package takes minutes."""


class Unusable(Exception):
    """rattler does not run on this host; nothing was installed. `str()` says why."""


@record(frozen=True)
class Installation:
    """What to install and how. `lock_file` is rattler's own; `mirrors` maps a channel's URL to where it is fetched.

    `check_cache`: check packages of the cache in full. `share`: files may be hard links into the cache.
    `environment` are variables for proxies and certificates.
    """

    rattler: str
    lock_file: str
    platform: str
    prefix: str
    cache: str
    mirrors: Dict[str, str]
    environment: Dict[str, str]
    check_cache: bool
    share: bool


def install(name: str, installation: Installation, emit: Emit, cancelled: Callable[[], bool]) -> int:
    """Install; the number of packages. Refusal when a package cannot be had, is damaged, or rattler dies.

    Raises Unusable when rattler cannot even be imported here: another libc, a Python of another kind.
    """
    seen = _Seen(emit)
    try:
        apart.run(lambda tell: _install(installation, tell), seen.heard, SILENCE, cancelled)
    except apart.Crashed as crash:
        if not seen.ready:
            raise Unusable(seen.error or str(crash)) from None
        said = without_credentials(seen.error or "the installer did not come to its end: %s" % crash)
        hint = "what served still serves; see that the channels, or their mirrors, have these packages, and run again"
        hint = reached.hint(said, "channel_credentials", hint)
        raise Refusal("cannot install the conda packages of `%s`" % name, said, hint) from None
    return seen.packages


class _Seen:
    """What the child told so far, passed on as progress."""

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.error = ""
        self.packages = 0
        self.ready = False

    def heard(self, message: Dict[str, Any]) -> None:
        if "error" in message:
            self.error = message["error"]
        elif "ready" in message:
            self.ready = True
        elif "installed" in message:
            self.packages = message["installed"]
        else:
            self.emit(**message)


def _install(installation: Installation, tell: apart.Tell) -> None:
    import asyncio
    import sys

    os.environ.update(installation.environment)
    os.umask(0o022)
    sys.path.insert(0, installation.rattler)
    try:
        import rattler  # noqa: F401

        tell({"ready": True})
        asyncio.run(_transact(installation, tell))
    except Exception as error:
        tell({"error": _causes(error)})
        raise


def _causes(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__


async def _transact(installation: Installation, tell: apart.Tell) -> None:
    from pathlib import Path

    from rattler import install as rattler_install

    records = _records(installation)
    reporter = _reporter(sum(record.size or 0 for record in _missing(installation, records)), len(records), tell)
    await rattler_install(
        records=records,
        target_prefix=installation.prefix,
        cache_dir=Path(installation.cache),
        execute_link_scripts=False,
        show_progress=False,
        client=_client(installation),
        reporter=reporter,
        **_cache_options(installation),
    )
    tell({"installed": len(records)})


def _records(installation: Installation) -> List[Any]:
    from pathlib import Path

    from rattler import LockFile

    environment: Any = LockFile.from_path(Path(installation.lock_file)).default_environment()
    for platform in environment.platforms() if environment else []:
        if platform.name == installation.platform:
            return environment.conda_repodata_records_for_platform(platform) or []
    raise ValueError("the lock has no packages for platform `%s`" % installation.platform)


def _missing(installation: Installation, records: List[Any]) -> List[Any]:
    return [record for record in records if not os.path.isdir(os.path.join(installation.cache, _entry(record)))]


def _entry(record: Any) -> str:
    """The name of a package's folder in the cache: its file name without the ending."""
    name: str = record.file_name
    for ending in (".conda", ".tar.bz2"):
        if name.endswith(ending):
            return name[: -len(ending)]
    return name


def _client(installation: Installation) -> Any:
    from rattler.networking import Client
    from rattler.networking.middleware import MirrorMiddleware, OciMiddleware, RetryMiddleware

    mirrors = {canonical: [mirror] for canonical, mirror in logins.bare(installation.mirrors).items()}
    middlewares: List[Any] = [RetryMiddleware(3), MirrorMiddleware(mirrors)]
    headers = logins.headers(installation.mirrors)
    if headers is not None:
        from rattler.networking.middleware import AddHeadersMiddleware

        middlewares.append(AddHeadersMiddleware(headers))
    return Client([*middlewares, OciMiddleware()])


def _cache_options(installation: Installation) -> Dict[str, Any]:
    """How the cache is used. Older rattlers (for Python 3.8 and 3.9) can neither check it in full
    nor make copies: prefix.py then gives a fresh cache, and makes the copies afterwards."""
    try:
        from rattler.config import Config
        from rattler.package_cache import PackageCache, ValidationMode
    except ImportError:
        return {}
    options: Dict[str, Any] = {}
    if not installation.share:
        options["config"] = Config.from_toml("allow-hard-links = false\n")
    if installation.check_cache:
        options["package_cache"] = PackageCache.new_layered([installation.cache], validation_mode=ValidationMode.full())
    return options


def _reporter(size: int, packages: int, tell: apart.Tell) -> Any:
    """rattler's own reporter does nothing; ours overrides what makes progress."""
    from rattler.install import InstallerReporter

    return type("Reporter", (_Progress, InstallerReporter), {})(size, packages, tell)


class _Progress:
    """Turns rattler's callbacks into progress: bytes while it downloads, packages while it links."""

    def __init__(self, size: int, packages: int, tell: apart.Tell) -> None:
        self.size = size
        self.packages = packages
        self.tell = tell
        self.names: Dict[int, str] = {}
        self.bytes: Dict[int, int] = {}
        self.linked = 0
        self.told = 0.0

    def on_transaction_start(self, total_operations: int) -> None:
        self.packages = total_operations

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        self.names[operation] = package_name
        return operation

    def on_download_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, _total: Optional[int]) -> None:
        self.bytes[download_idx] = progress
        self._tell(sum(self.bytes.values()), self.size, "bytes", download_idx, always=False)

    def on_download_completed(self, download_idx: int) -> None:
        self._tell(sum(self.bytes.values()), self.size, "bytes", download_idx, always=False)

    def on_link_start(self, operation: int, package_name: str) -> int:
        self.names[operation] = package_name
        return operation

    def on_link_complete(self, index: int) -> None:
        self.linked += 1
        self._tell(self.linked, self.packages, "packages", index, always=self.linked >= self.packages)

    def _tell(self, done: int, total: int, unit: str, index: int, *, always: bool) -> None:
        """Tell how far it is, ten times a second at most."""
        now = time.monotonic()
        if always or now - self.told > 0.1:
            self.told = now
            self.tell({"done": done, "total": max(done, total), "unit": unit, "label": self.names.get(index, "")})
