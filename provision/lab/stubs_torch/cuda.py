"""What the simulated nvidia-smi of a lab host says, in the words of torch.cuda. A real GPU is never reported here."""

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import version

_MARK = "provision-lab-simulated"
_FIELDS = "index,uuid,name,memory.total,compute_cap,driver_version"


@dataclass(frozen=True)
class _Properties:
    name: str
    total_memory: int
    major: int
    minor: int
    uuid: str
    driver: str


def is_available() -> bool:
    """Whether this build is one for CUDA, and the host has simulated GPUs that this process may see."""
    return device_count() > 0


def device_count() -> int:
    return len(_visible()) if version.cuda else 0


def current_device() -> int:
    return 0


def set_device(device: object) -> None:
    get_device_properties(device)


def get_device_name(device: object = 0) -> str:
    return get_device_properties(device).name


def get_device_capability(device: object = 0) -> tuple[int, int]:
    found = get_device_properties(device)
    return found.major, found.minor


def get_device_properties(device: object = 0) -> _Properties:
    if not is_available():
        raise RuntimeError("No CUDA GPUs are available")
    index = int(str(device).rpartition(":")[2]) if str(device) not in ("cuda", "None") else 0
    if not 0 <= index < device_count():
        raise RuntimeError("CUDA error: invalid device ordinal")
    return _visible()[index]


def mem_get_info(device: object = 0) -> tuple[int, int]:
    total = get_device_properties(device).total_memory
    return total, total


def synchronize(device: object = 0) -> None:
    get_device_properties(device)


def empty_cache() -> None:
    pass


def _visible() -> list[_Properties]:
    found = _devices()
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [properties for _, properties in found]
    visible = []
    for word in filter(None, (part.strip() for part in wanted.split(","))):
        match = [properties for index, properties in found if word == index or properties.uuid.startswith(word)]
        if not match:
            break  # as CUDA has it: what follows an unknown device is invisible
        visible += match[:1]
    return visible


@functools.lru_cache(maxsize=1)
def _devices() -> tuple[tuple[str, _Properties], ...]:
    program = shutil.which("nvidia-smi")
    if not program or _MARK not in Path(program).read_text(encoding="latin-1"):
        return ()
    argv = [program, f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20)
    return tuple(_device(line) for line in done.stdout.splitlines()) if done.returncode == 0 else ()


def _device(line: str) -> tuple[str, _Properties]:
    index, uuid, name, memory, compute, driver = (word.strip() for word in line.split(","))
    major, _, minor = compute.partition(".")
    return index, _Properties(name, int(memory) << 20, int(major), int(minor), uuid, driver)
