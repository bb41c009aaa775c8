"""The program that an environment's own python runs on GPUs: versions of torch, then one matrix product on each.

It prints a line of JSON as soon as it knows something, so that a GPU which hangs does not hide the others.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List

__all__ = ["PROGRAM", "read"]

PROGRAM = """
import json, sys, time
job = json.loads(sys.argv[1])
def tell(**what):
    print("provision " + json.dumps(what), flush=True)
def largest(matrix):
    if hasattr(matrix, "abs"):
        return float(matrix.abs().max())
    return max(abs(number) for row in matrix.tolist() for number in row)
import torch
simulated = bool(getattr(torch, "__provision_simulated__", False))
tell(torch=str(torch.__version__), cuda=str(torch.version.cuda), simulated=simulated)
if job["devices"]:
    size, double = 48 if simulated else 1024, getattr(torch, "float64", None)
    product = getattr(getattr(getattr(torch, "backends", None), "cuda", None), "matmul", None)
    if product is not None:
        product.allow_tf32 = False
    torch.manual_seed(1)
    one, two = torch.randn(size, size), torch.randn(size, size)
    exact = one.to(dtype=double) @ two.to(dtype=double)
    scale = largest(exact)
    if not torch.cuda.is_available():
        tell(problem="torch sees no GPU")
        sys.exit(0)
for index, name in enumerate(job["devices"]):
    try:
        place = "cuda:%d" % index
        if hasattr(torch.cuda, "set_per_process_memory_fraction"):
            total = torch.cuda.get_device_properties(index).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, job["memory"] / total), index)
        here, there = one.to(place), two.to(place)
        here @ there
        torch.cuda.synchronize(place)
        began = time.perf_counter()
        found = here @ there
        torch.cuda.synchronize(place)
        seconds = time.perf_counter() - began
        error = largest(found.cpu().to(dtype=double) - exact) / scale
        tell(device=name, seconds=seconds, error=error, size=size)
        del here, there, found
        torch.cuda.empty_cache()
    except Exception as error:
        tell(device=name, problem="%s: %s" % (type(error).__name__, str(error).strip().split(chr(10))[0]))
"""


def read(output: str) -> List[Dict[str, Any]]:
    """What the program told, in order; what others print between is left out."""
    found = []
    for line in output.splitlines():
        mark, _, text = line.partition("provision ")
        if mark == "" and text.startswith("{"):
            try:
                found.append(json.loads(text))
            except ValueError:
                continue
    return found
