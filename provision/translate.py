"""Rendered arguments of tasks as specs of resources: files, templates, locks.

Owns the way from what the operator wrote to what the agent reads. Must not decide whether or when a task runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from collections.abc import Mapping as Map
from dataclasses import field
from pathlib import Path
from typing import Any

from provision import copied
from provision.agent.protocol import INLINE_LIMIT
from provision.agent.record import record
from provision.arguments import typed, within_limits
from provision.conda.locked import Lock
from provision.errors import ProvisionError
from provision.modules import MODULES
from provision.playbook import Task
from provision.secret.value import ENCRYPTED
from provision.source import Mapping, load, nearest, read_text
from provision.variables import HostView, Scope
from provision.variants import Variant, choose, of_task

__all__ = ["Built", "Translated", "Translator", "find_file", "root_of"]

Specify = Callable[[Any, dict[str, Any], Map[str, Any]], tuple[dict[str, Any], Map[str, Any]]]


@record(frozen=True, slots=True)
class Translated:
    """What goes to the agent; `blobs` is content by SHA-256."""

    resource: str
    spec: dict[str, Any]
    blobs: Map[str, bytes | Path] = field(default_factory=dict)


@record(frozen=True, slots=True)
class Built:
    """An environment that the play builds on a host."""

    name: str
    root: str
    lock: str
    keep: int = 2
    takeover: bool = False
    task: str = ""


def find_file(task: Task, playbook_directory: Path, kind: str, name: str) -> Path:
    """A file that a task names: the role's `kind` folder, the role, then the same beside the playbook."""
    bases = [task.directory, playbook_directory]
    tried = [Path(name)] if Path(name).is_absolute() else [base / part / name for base in bases for part in (kind, "")]
    for path in dict.fromkeys(tried):
        if path.exists():
            return path
    raise ProvisionError(
        f"there is no file `{name}`",
        where=task.arguments.value_mark(next((key for key in ("src", "variants") if key in task.arguments), "file")),
        context=f'task "{task.title}"',
        cause="looked for " + ", ".join(f"`{path}`" for path in dict.fromkeys(tried)),
        hint=_near_file(tried),
    )


def _near_file(tried: list[Path]) -> str:
    found = {path.name for each in tried if each.parent.is_dir() for path in each.parent.iterdir()}
    return nearest(tried[0].name, found)


class Translator:
    """Translates rendered arguments; keeps what hosts share: contents of files, names of environments.

    `locks` maps an environment.yml (resolved path) to its lock. `specify` makes of a lock, options and the host's
    variables the spec and blobs of `conda_env`.
    """

    def __init__(self, locks: Map[Path, Any] | None = None, specify: Specify | None = None) -> None:
        self.locks = dict(locks or {})
        self._specify = specify or specify_environment
        self._contents: dict[Path, tuple[str | None, str, bytes | None]] = {}
        self._archives: dict[Path, tuple[str, bytes]] = {}
        self._texts: dict[Path, str] = {}
        self._names: dict[Path, str] = {}
        self._locks: dict[Path, Any] = {}
        self._found: dict[tuple[int, str, str], Path] = {}

    def files(self) -> list[Path]:
        """The files whose content was sent to hosts, or would be."""
        return [*self._contents, *self._archives, *self._texts]

    def translate(
        self,
        task: Task,
        values: dict[str, Any],
        scope: Scope,
        playbook_directory: Path,
        built: Map[tuple[str, str], Built],
        facts: Map[str, Any] | None = None,
    ) -> Translated:
        """The spec of one task's rendered arguments; raises ProvisionError with the place.

        `facts` are the host's, also those that the play did not gather.
        """
        word = task.module
        checked = {key: typed(word, key, value, task.arguments) for key, value in values.items()}
        resource, spec = MODULES[word].resource, checked
        blobs: Map[str, bytes | Path] = {}
        if word in ("copy", "template"):
            resource, spec, blobs = self._content(task, checked, scope, playbook_directory)
        elif word == "file" and checked.get("state") == "link":
            resource, spec = "link", _link(task, checked)
        elif word == "file":
            spec = _without_source(task, checked)
        elif word == "unarchive" and not checked.get("remote_src"):
            spec, blobs = self._archive(task, checked, playbook_directory)
        elif word == "conda_env":
            spec, blobs = self._environment(task, checked, HostView(scope, facts), playbook_directory)
        elif word == "app":
            spec, blobs = _app(checked, scope, built)
        return Translated(resource, within_limits(word, resource, spec, task.arguments.mark), blobs)

    def _content(
        self, task: Task, values: dict[str, Any], scope: Scope, playbook_directory: Path
    ) -> tuple[str, dict[str, Any], dict[str, bytes | Path]]:
        source, content = values.pop("src", None), values.pop("content", None)
        if (source is None) == (content is None):
            raise ProvisionError(f"`{task.module}` needs `src` or `content`, not both", where=task.arguments.mark)
        checksum = values.pop("checksum", None)
        if values.pop("decrypt", True) is False:
            raise ProvisionError(
                "`decrypt: false` is not supported",
                where=task.arguments.key_mark("decrypt"),
                cause="an encrypted file is always decrypted for the host",
            )
        kind = "templates" if task.module == "template" else "files"
        path = None if source is None else self._file(task, playbook_directory, kind, source)
        if path is not None and path.is_dir() and task.module == "copy":
            return "file_tree", *copied.tree(path, source, values)
        for name in ("directory_mode", "local_follow"):
            values.pop(name, None)
        if source is not None and values["path"].endswith("/"):
            values["path"] += Path(source).name
        values["state"] = "file"
        if values.get("mode") == "preserve":
            values["mode"] = copied.mode_of(path) if path is not None else None
        if path is None:
            # as in Ansible: data is written as JSON, a single value as its text
            text = json.dumps(content) if isinstance(content, dict | list) else str(content)
            return "file", *_inline(values, content if isinstance(content, str) else text)
        copied.check_sum(task, path, checksum)
        if task.module == "template":
            return "file", *self._rendered(task, values, path, scope)
        return "file", *self._copied(values, path, scope)

    def _rendered(
        self, task: Task, values: dict[str, Any], path: Path, scope: Scope
    ) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        options, newline, encoding = copied.jinja_options(task, values)
        if path not in self._texts:
            self._texts[path] = read_text(path)
        text = scope.renderer.text(self._texts[path], str(path), scope, options)
        found = copied.encoded(task, text, newline, encoding)
        if isinstance(found, str):
            return _inline(values, found)
        digest = hashlib.sha256(found).hexdigest()
        return values | {"content_blob": digest}, {digest: found}

    def _file(self, task: Task, playbook_directory: Path, kind: str, name: str) -> Path:
        """As `find_file`, once for all hosts."""
        key = (id(task), kind, name)
        if key not in self._found:
            self._found[key] = find_file(task, playbook_directory, kind, name)
        return self._found[key]

    def _copied(
        self, values: dict[str, Any], path: Path, scope: Scope
    ) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        if path not in self._contents:
            self._contents[path] = _read_content(path)
        text, digest, decrypted = self._contents[path]
        scope.touched = scope.touched or decrypted is not None
        if text is not None:
            return values | {"content": text}, {}
        return values | {"content_blob": digest}, {digest: path if decrypted is None else decrypted}

    def _archive(
        self, task: Task, values: dict[str, Any], playbook_directory: Path
    ) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
        """An archive of the control node, with the list of its content: a host that has all that is sent no more."""
        if "://" in values["src"]:
            raise ProvisionError(
                "`unarchive` does not fetch an address",
                where=task.arguments.value_mark("src"),
                hint="fetch it with `get_url`, then unpack it with `remote_src: true`",
            )
        path = self._file(task, playbook_directory, "files", values["src"])
        if path not in self._archives:
            self._archives[path] = _listed(task, path)
        digest, listing = self._archives[path]
        blobs: dict[str, bytes | Path] = {digest: path}
        if not listing:
            return values | {"src_blob": digest}, blobs
        known = hashlib.sha256(listing).hexdigest()
        return values | {"src_blob": digest, "listing_blob": known}, blobs | {known: listing}

    def _lock(self, path: Path) -> Any:
        """The lock of an environment.yml, which is asked for its name as well."""
        if path not in self._names:
            self._locks[path] = self.locks.get(path.resolve())
            lock = self._locks[path]
            # last: sessions of other hosts look for it first
            self._names[path] = lock.name if isinstance(lock, Lock) else environment_name(path)
        if self._locks[path] is None:
            raise ProvisionError(f"there is no lock of `{path}`", hint="`provision lock` makes one")
        return self._locks[path]

    def _environment(
        self, task: Task, options: dict[str, Any], variables: HostView, playbook_directory: Path
    ) -> tuple[dict[str, Any], Map[str, Any]]:
        if options.get("state") == "absent":
            return {key: options[key] for key in ("name", "root", "state") if key in options}, {}
        path = self._chosen(task, options, variables, playbook_directory)
        lock = self._lock(path)
        options.setdefault("name", self._names[path])
        refuse_unfit(options["name"], lock, variables.get("facts") or {}, task)
        options["post_link_ignore"] = (options.pop("post_link", None) or {}).get("ignore", [])
        options.pop("keep", None)
        return self._specify(lock, options, variables)

    def _chosen(self, task: Task, options: dict[str, Any], variables: HostView, playbook_directory: Path) -> Path:
        """The environment.yml that a host gets: the one that the task names, or of its variants the one that fits."""
        written = options.pop("variants", None)
        if written is None:
            return self._file(task, playbook_directory, "files", options.pop("file", "environment.yml"))

        def path_of(variant: Variant) -> Path:
            return self._file(task, playbook_directory, "files", variant.file)

        variants, facts = of_task(task, written), variables.get("facts") or {}
        try:
            choice = choose(options["name"], variants, facts, lambda one, gpu: unfit(self._lock(path_of(one)), gpu))
        except ProvisionError as error:
            error.where = error.where or task.arguments.value_mark("variants")
            error.context = error.context or f'task "{task.title}"'
            raise
        return path_of(choice)


def unfit(lock: Any, device: Map[str, Any]) -> str:
    """Why a GPU does not run a lock; "" where it does or nothing is known of it."""
    from provision.conda import fit

    return fit.unfit_device(fit.stack_of(lock), device)


def refuse_unfit(name: str, lock: Any, facts: Map[str, Any], task: Task) -> None:
    """Raises ProvisionError where not one of a host's GPUs runs an environment."""
    devices = (facts.get("gpu") or {}).get("devices") or []
    reasons = [unfit(lock, device) for device in devices]
    if reasons and all(reasons):
        raise ProvisionError(
            f"environment `{name}` does not run on this host's GPUs",
            where=task.where,
            context=f'task "{task.title}"',
            cause="\n".join(dict.fromkeys(reasons)),
            hint="give it `variants`, one of them for these GPUs, or leave this host out",
        )


def environment_name(path: Path) -> str:
    """The name that an environment.yml gives itself; raises ProvisionError when it has none."""
    content = load(path)
    name = content.get("name") if isinstance(content, Mapping) else None
    if not isinstance(name, str):
        raise ProvisionError(f"`{path}` has no `name`", hint="its first line is `name: what-it-is-for`")
    return name


def _read_content(path: Path) -> tuple[str | None, str, bytes | None]:
    """Small text as it is, else None; the SHA-256; and what an encrypted file holds, which is what counts of it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if file.read(max(map(len, ENCRYPTED))).startswith(ENCRYPTED):
            return _decrypted(path)
        file.seek(0)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        size = file.tell()
    try:
        return (path.read_bytes().decode() if size <= INLINE_LIMIT else None), digest.hexdigest(), None
    except UnicodeDecodeError:
        return None, digest.hexdigest(), None


def _decrypted(path: Path) -> tuple[str | None, str, bytes]:
    from provision.secret.sealed import opened_file, secret

    content = opened_file(path.read_bytes(), str(path))
    digest = hashlib.sha256(content).hexdigest()
    try:
        text = secret(content.decode())
    except UnicodeDecodeError:
        return None, digest, content
    return (text if len(content) <= INLINE_LIMIT else None), digest, content


def _listed(task: Task, path: Path) -> tuple[str, bytes]:
    """The SHA-256 of an archive and, unless only the host can read it, what is in it; raises ProvisionError."""
    from provision.agent import unpacking
    from provision.agent.resource import Refusal

    kind = unpacking.kind_of(str(path)) if path.is_file() else ""
    try:
        if not kind:
            raise Refusal(f"`{path.name}` is no archive", "it is neither tar (plain, gz, bz2, xz, zst) nor zip")
        members = None if kind == "zstd" else unpacking.members(str(path))
    except Refusal as refusal:
        raise ProvisionError(
            refusal.summary, where=task.arguments.value_mark("src"), cause=refusal.cause, hint=refusal.hint
        ) from None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if members is None:
        return digest, b""
    return digest, json.dumps({"handler": unpacking.handler(str(path)), "members": members}).encode()


def _inline(values: dict[str, Any], text: str) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    data = text.encode()
    if len(data) <= INLINE_LIMIT:
        return values | {"content": text}, {}
    digest = hashlib.sha256(data).hexdigest()
    return values | {"content_blob": digest}, {digest: data}


def _link(task: Task, values: dict[str, Any]) -> dict[str, Any]:
    if "src" not in values:
        raise ProvisionError("`file` with `state: link` needs `src`", where=task.arguments.mark)
    refused = sorted(set(values) - {"path", "src", "state", "force"})
    if refused:
        raise ProvisionError(
            f"`{refused[0]}` does not go with `state: link`",
            where=task.arguments.key_mark(refused[0]),
            hint="a link has no mode or owner of its own here, and never replaces data",
        )
    return {"path": values["path"], "target": values["src"], "dangling": values.get("force", False)}


def _without_source(task: Task, values: dict[str, Any]) -> dict[str, Any]:
    if "src" in values:
        raise ProvisionError("`src` goes with `state: link` only", where=task.arguments.key_mark("src"))
    return values


def _app(
    values: dict[str, Any], scope: Scope, built: Map[tuple[str, str], Built]
) -> tuple[dict[str, Any], dict[str, bytes | Path]]:
    """An app starts on the environment that this play builds, by its lock; else on what the link points at.

    Where no systemd keeps it, supervisor goes along.
    """
    values = {"root": root_of(scope)} | values
    own = built.get((values["root"], values.get("environment", "")))
    values |= {"lock": own.lock} if own else {}
    settle = _settle_of(scope)
    if settle is not None and values.get("state", "started") == "started":
        values |= {"health": {"settle": settle, **(values.get("health") or {})}}
    facts = HostView(scope).get("facts") or {}
    if facts.get("init", "systemd") == "systemd" or values.get("state") in ("stopped", "absent"):
        return values, {}
    from provision.plain.archive import supervisor_archive

    archive = supervisor_archive()
    return values | {"supervisor_blob": archive.sha256}, {archive.sha256: archive.path}


def _settle_of(scope: Scope) -> float | None:
    """For how many seconds apps of a host are watched that do not say it; the command line gives texts."""
    settle = scope.find("app_settle")
    if not isinstance(settle, int | float | str):
        return None
    try:
        return float(settle)
    except ValueError:
        raise ProvisionError(f"`app_settle` is a number of seconds, not `{settle}`", exit_code=2) from None


def root_of(scope: Scope) -> str:
    """Where environments live on a host when a task does not say."""
    root = scope.find("conda_root")
    return root if isinstance(root, str) else "/opt/conda"


def specify_environment(
    lock: Any, options: dict[str, Any], variables: Map[str, Any]
) -> tuple[dict[str, Any], Map[str, Any]]:
    """The spec and content of `conda_env`, with the mirrors that the host's variables name."""
    from provision.conda import ship
    from provision.conda.mirrors import Settings

    return ship.specify(lock, options, Settings.of_host(variables), variables.get("facts"))
