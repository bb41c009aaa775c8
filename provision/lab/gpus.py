"""Simulated GPUs: what a host's `nvidia-smi` says it has. Everything made here is marked as simulated."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources

__all__ = ["MARK", "Gpus", "nvidia_smi", "of_host"]

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
class Gpus:
    """The GPUs and the driver of one host; `failure`, an exit code and a message, is all that nvidia-smi then gives."""

    devices: Sequence[tuple[str, Model]]
    driver: str = "535.104.05"
    cuda: str = "12.2"
    failure: tuple[int, str] | None = None

    def text(self) -> str:
        """The content of /etc/provision-lab/gpus."""
        lines = [f"driver {self.driver}", f"cuda {self.cuda}"]
        for index, (identifier, model) in enumerate(self.devices):
            bus = f"00000000:{7 + 8 * index:02X}:00.0"
            lines.append(f"gpu {identifier}|{model.name}|{model.memory_mb}|{model.compute}|{bus}")
        if self.failure:
            lines.append(f"fail {self.failure[0]} {self.failure[1]}")
        return "\n".join(lines) + "\n"

    def with_driver(self, driver: str, cuda: str) -> Gpus:
        """The same GPUs under another driver, which supports CUDA up to `cuda`."""
        return replace(self, driver=driver, cuda=cuda)


def of_host(lab: str, host: str, number: int, count: int = 4) -> Gpus:
    """The GPUs of the host that is the `number`-th of its kind: always the same ones, of one model."""
    model = MODELS[number % len(MODELS)]
    names = (uuid.uuid5(uuid.NAMESPACE_DNS, f"{index}.{host}.{lab}.lab.invalid") for index in range(count))
    return Gpus([(f"GPU-{name}", model) for name in names])


def nvidia_smi() -> str:
    """The text of the simulated program."""
    return resources.files("provision.lab").joinpath("nvidia-smi.sh").read_text()
