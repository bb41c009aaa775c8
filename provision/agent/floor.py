"""What a locked environment asks of a host: GPU driver and glibc, compared with the host's facts.

Pure: must not look at the host. The numbers come with the lock, from recipe data of the control node.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from .resource import Refusal

__all__ = ["check", "check_platform", "notice"]

_ARCHITECTURES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "linux-ppc64le": "ppc64le"}


def check(name: str, floor: Dict[str, Any], facts: Dict[str, Any]) -> None:
    """Refusal, with the numbers, when the host's glibc or GPU driver is below the environment's floor."""
    _check_glibc(name, floor.get("glibc"), facts.get("glibc"))
    if floor.get("cuda") and floor.get("driver"):
        _check_driver(name, floor, facts.get("gpu") or {})


def check_platform(name: str, platform: str, architecture: Optional[str]) -> None:
    """Refusal when packages of conda's `platform` are not for this host's architecture (as uname says it)."""
    wanted = _ARCHITECTURES.get(platform)
    if wanted and architecture and architecture != wanted:
        raise Refusal(
            "environment `%s` is locked for %s, this host is %s" % (name, platform, architecture),
            "%s is for %s" % (platform, wanted),
            "leave this host out of the play, or lock an environment for its platform",
        )


def notice(floor: Dict[str, Any], facts: Dict[str, Any]) -> str:
    """What an operator should know of a driver that runs this CUDA, but is older than the toolkit's own; or ""."""
    driver, own = (facts.get("gpu") or {}).get("driver"), floor.get("toolkit_driver")
    if not (driver and own and floor.get("cuda")) or numbers(driver) >= numbers(own):
        return ""
    return "driver %s runs CUDA %s by minor-version compatibility only; its own driver is %s" % (
        driver,
        floor["cuda"],
        own,
    )


def numbers(version: str) -> Tuple[int, ...]:
    """A dotted version as numbers, without trailing zeros: 470.82 is less than 470.82.01."""
    digits = ["".join(c for c in part if c.isdigit()) for part in version.split(".")]
    parts = [int(part) for part in digits if part]
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _check_glibc(name: str, wanted: Optional[str], found: Optional[str]) -> None:
    if wanted and found and numbers(found) < numbers(wanted):
        raise Refusal(
            "environment `%s` needs glibc %s, this host has %s" % (name, wanted, found),
            "its packages are locked for systems with glibc %s or newer" % wanted,
            'set `system_floor: {glibc: "%s"}` in the inventory and lock again, or upgrade the host' % found,
        )


def _check_driver(name: str, floor: Dict[str, Any], gpu: Dict[str, Any]) -> None:
    cuda, wanted, driver = floor["cuda"], floor["driver"], gpu.get("driver")
    if not driver:
        raise Refusal(
            "environment `%s` needs an NVIDIA driver, this host has none" % name,
            "CUDA %s needs driver %s or newer; no driver answers here" % (cuda, wanted),
            "install a driver (role `nvidia`), or leave this host out of the play",
        )
    if numbers(driver) < numbers(wanted):
        raise Refusal(
            "environment `%s` needs driver %s or newer, this host has %s" % (name, wanted, driver),
            "CUDA %s runs on driver %s and newer" % (cuda, wanted),
            "upgrade the driver (role `nvidia`), or lock an environment for an older CUDA",
        )
