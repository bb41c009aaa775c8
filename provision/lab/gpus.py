"""Simulated GPUs: what a host's `nvidia-smi` says it has. Everything made here is marked as simulated."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path

__all__ = ["MARK", "Gpus", "Process", "install", "nvidia_smi", "of_host"]

MARK = "provision-lab-simulated"
"""Stands in the text of every simulated program."""


@dataclass(frozen=True, slots=True)
class Model:
    name: str
    memory_mb: int
    compute: str


MODELS = (
    Model("NVIDIA A100-SXM4-80GB", 81920, "8.0"),
    Model("NVIDIA A10", 23028, "8.6"),
    Model("NVIDIA GeForce RTX 3090", 24576, "8.6"),
    Model("NVIDIA H100 80GB HBM3", 81559, "9.0"),
)
"""Kinds that CUDA 11.8 has code for."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that the simulated nvidia-smi shows on a GPU; nobody runs it."""

    device: str
    pid: int
    name: str
    memory_mb: int
    kind: str = "C"


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs and the driver of one host; `failure`, an exit code and a message, is all that nvidia-smi then gives.

    `module`: the version of the kernel module, where it is another than the driver's. `lost`: UUIDs of devices that the
    bus still has and the driver does not. `states`: by UUID some of persistence, mig, ecc (uncorrected errors),
    throttling (a reason), mode. `nouveau`: that module is loaded too. `switches`: how many NVSwitches there are.

    `xids`: bus address and number of errors in the kernel's log.
    `built`: the running kernel has the driver's module to load.
    """

    devices: Sequence[tuple[str, Model]]
    driver: str = "535.104.05"
    cuda: str = "12.2"
    failure: tuple[int, str] | None = None
    module: str | None = None
    lost: frozenset[str] = frozenset()
    states: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    processes: Sequence[Process] = ()
    nouveau: bool = False
    switches: int = 0
    xids: Sequence[tuple[str, int]] = ()
    built: bool = True

    def text(self) -> str:
        """The content of /etc/provision-lab/gpus."""
        lines = [f"driver {self.driver}", f"cuda {self.cuda}"]
        for address, identifier, model in self._places():
            if identifier not in self.lost:
                state = self.states.get(identifier, {})
                used = sum(process.memory_mb for process in self.processes if process.device == identifier)
                told = [state.get(key, "") for key in ("persistence", "mig", "ecc", "throttling", "mode")]
                words = [identifier, model.name, str(model.memory_mb), model.compute, address, *told, str(used)]
                lines.append("gpu " + "|".join(words))
        lines += [f"process {p.device}|{p.pid}|{p.kind}|{p.name}|{p.memory_mb}" for p in self.processes]
        if self.failure:
            lines.append(f"fail {self.failure[0]} {self.failure[1]}")
        return "\n".join(lines) + "\n"

    def tree(self) -> dict[str, str]:
        """What such a host's /proc, /sys, kernel log and libraries would say, by path below a folder of its own."""
        module = self.module or self.driver
        files = {
            "SIMULATED": f"{MARK}\n",
            "kernel.log": "".join(_xid(*xid) for xid in self.xids),
            f"usr/lib/x86_64-linux-gnu/libnvidia-ml.so.{self.driver}": "",
        }
        if self.devices:
            banner = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {module}  (simulated)\n"
            files |= {"proc/driver/nvidia/version": banner, "sys/module/nvidia/version": f"{module}\n"}
            modules = "updates/dkms/nvidia.ko:\n" if self.built else "kernel/drivers/gpu/drm/drm.ko:\n"
            files[f"lib/modules/{os.uname().release}/modules.dep"] = modules
        if self.nouveau:
            files["sys/module/nouveau/initstate"] = "live\n"
        for address, _, _ in self._places():
            files |= _pci(address, "0x030200")
        for index in range(self.switches):
            files |= _pci(f"00000000:{0xC4 + index:02X}:00.0", "0x068000")
        return files

    def with_driver(self, driver: str, cuda: str) -> Gpus:
        """The same GPUs under another driver, which supports CUDA up to `cuda`."""
        return replace(self, driver=driver, cuda=cuda)

    def _places(self) -> list[tuple[str, str, Model]]:
        return [
            (f"00000000:{7 + 8 * index:02X}:00.0", identifier, model)
            for index, (identifier, model) in enumerate(self.devices)
        ]


def install(root: Path, wanted: Gpus) -> None:
    """Give the host whose file system is at `root` these GPUs."""
    folder = root / "etc/provision-lab"
    shutil.rmtree(folder / "tree", ignore_errors=True)
    for name, text in wanted.tree().items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "gpus").write_text(wanted.text())


def of_host(lab: str, host: str, number: int, count: int = 4) -> Gpus:
    """The GPUs of the host that is the `number`-th of its kind: always the same ones, of one model."""
    model = MODELS[number % len(MODELS)]
    names = (uuid.uuid5(uuid.NAMESPACE_DNS, f"{index}.{host}.{lab}.lab.invalid") for index in range(count))
    return Gpus([(f"GPU-{name}", model) for name in names])


def nvidia_smi() -> str:
    """The text of the simulated program."""
    return resources.files("provision.lab").joinpath("nvidia-smi.sh").read_text()


def _pci(address: str, kind: str) -> dict[str, str]:
    """One device as /sys/bus/pci/devices has it: a domain of four digits, small letters."""
    folder = f"sys/bus/pci/devices/{address[4:].lower()}"
    return {f"{folder}/vendor": "0x10de\n", f"{folder}/class": f"{kind}\n"}


def _xid(address: str, number: int) -> str:
    return f"[    5.000000] NVRM: Xid (PCI:{address[4:14].lower()}): {number}, simulated by the lab of provision\n"
