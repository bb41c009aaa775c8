"""The one way in which the real torch 2.0 is known to break when its environment is put together wrongly."""

import sys
from pathlib import Path

from . import version


def check() -> None:
    """Fail as the real library does where mkl 2024.1 or newer lies beside torch 2.0; raises ImportError."""
    if version.__version__.startswith("2.0."):
        for record in Path(sys.prefix, "conda-meta").glob("mkl-2*.json"):
            numbers = record.name.split("-")[1].split(".")
            if (int(numbers[0]), int(numbers[1])) >= (2024, 1):
                library = Path(__file__).parent / "lib/libtorch_cpu.so"
                raise ImportError(f"{library}: undefined symbol: iJIT_NotifyEvent")
