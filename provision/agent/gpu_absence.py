"""Why the GPUs of a host give no answer, in words, and what mends it; pure."""

from __future__ import annotations

from typing import List, Tuple

from .gpu_host import Seen

__all__ = ["explain", "reboot_reason"]

_INSTALL = "install the driver: role `nvidia` with `nvidia_driver: install`"
_ANOTHER = "check the machine's type, or whether its GPUs are passed through; else leave this host out"
_RUNTIME = "start the container with its GPUs: `--gpus all` or `runtime: nvidia`, by the NVIDIA Container Toolkit"


def explain(seen: Seen, error: str) -> Tuple[str, str]:
    """(cause, hint) for a host whose driver gave no GPUs; `error` is what nvidia-smi said, "" where there is none."""
    causes, hint = _why(seen, error)
    if error:
        causes.append("`nvidia-smi` says: %s" % error)
    return "\n".join(causes), hint


def reboot_reason(seen: Seen, error: str) -> str:
    """Why only a reboot brings the installed driver into use; "" where it does not need one."""
    if seen.loaded and seen.library and seen.loaded != seen.library:
        return "the kernel module that is loaded is of version %s, the driver's libraries are of %s" % (
            seen.loaded,
            seen.library,
        )
    if "version mismatch" in error:
        return "the kernel module that is loaded and the driver's libraries are of different versions"
    if seen.nouveau and seen.tool and not seen.container:
        return "the kernel module `nouveau` is loaded and holds the GPUs"
    return ""


def _why(seen: Seen, error: str) -> Tuple[List[str], str]:
    reason = reboot_reason(seen, error)
    if reason:
        return [reason], "reboot this host, or set `nvidia_reboot: true` for the role `nvidia`"
    if seen.container and not seen.device_node and (seen.bus or seen.loaded is not None):
        return [_container(seen)], _RUNTIME
    if seen.loaded is not None:
        return _module_is_loaded(seen)
    if not seen.bus:
        return _no_gpu(seen)
    there = "%s on the PCI bus: %s" % (_counted(len(seen.bus)), ", ".join(seen.bus))
    if seen.tool or seen.library:
        return _module_is_not_loaded(seen, there)
    nouveau = "the kernel module `nouveau` is loaded in place of `nvidia`"
    return [there, "the driver is not installed", *([nouveau] if seen.nouveau else [])], _INSTALL


def _no_gpu(seen: Seen) -> Tuple[List[str], str]:
    within = ", as this container (%s) sees it" % seen.container if seen.container else ""
    causes = ["there is no NVIDIA GPU on the PCI bus%s" % within]
    if not seen.tool:
        causes.append("there is no `nvidia-smi`")
    return causes, _RUNTIME + "; or leave this host out" if seen.container else _ANOTHER


def _container(seen: Seen) -> str:
    machine = "driver %s" % seen.loaded if seen.loaded else "its driver"
    return "this is a container (%s) without the mounts of NVIDIA's runtime: its machine has %s, but here %s" % (
        seen.container,
        machine if seen.loaded is not None else _counted(len(seen.bus)),
        "is no `/dev/nvidiactl`" if seen.tool else "are neither `/dev/nvidiactl` nor `nvidia-smi`",
    )


def _module_is_loaded(seen: Seen) -> Tuple[List[str], str]:
    version = " %s" % seen.loaded if seen.loaded else ""
    if not seen.tool:
        return (
            ["the kernel module `nvidia`%s is loaded, but there is no `nvidia-smi`" % version],
            "install the driver's tools of the same version (Ubuntu: `nvidia-utils-BRANCH`)",
        )
    causes = ["the kernel module `nvidia`%s is loaded, but gives no GPU" % version]
    return causes, "look at `dmesg | grep -e NVRM -e Xid`; a GPU that fell off the bus needs a power cycle"


def _module_is_not_loaded(seen: Seen, there: str) -> Tuple[List[str], str]:
    causes = [there, "the driver is installed, but its kernel module `nvidia` is not loaded"]
    if seen.nouveau:
        return (
            [*causes, "the kernel module `nouveau` is loaded in its place"],
            "keep nouveau out (role `nvidia` with `nvidia_driver: install`) and reboot",
        )
    if not seen.module:
        headers = "" if seen.kernel_headers else ", and that kernel's headers are missing"
        first = "" if seen.kernel_headers else "install `linux-headers-%s`, then " % seen.kernel
        return (
            [*causes, "there is no such module for the running kernel %s%s" % (seen.kernel, headers)],
            first + "run `dkms autoinstall` there; or boot a kernel that has the module",
        )
    if seen.secure_boot:
        return (
            [*causes, "Secure Boot is on: the kernel takes signed modules only"],
            "enrol the key that signed it (`mokutil --import`), use signed modules, or switch Secure Boot off",
        )
    return causes, "run `modprobe nvidia` there; `dmesg | grep NVRM` tells why it fails"


def _counted(number: int) -> str:
    return "1 NVIDIA GPU" if number == 1 else "%d NVIDIA GPUs" % number
