"""Looks whether torch is the one that is meant, and whether every GPU that nobody uses computes right."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from .. import generations
from ..system import System
from . import environments, gpu_report, imports, prefix, product
from .finding import Finding, failed, ok, skipped

if TYPE_CHECKING:
    from ..resources.verify_compute import Spec

__all__ = ["busy", "judge", "look"]

_ERROR = 1e-4
"""Of the largest element. A right product in float32 differs from float64 by about 1e-6, with TF32 by 1e-3."""
_HIDDEN_MB = 600
"""Memory that is in use without a process to be seen: more than a driver takes for itself is somebody's."""


def look(spec: Spec, system: System) -> List[Finding]:
    """Every finding of the rung."""
    if "torch" not in spec.expect:
        return [skipped("compute.torch", "the environment has no torch", spec.name)]
    generation = prefix.of_environment(system, spec.root, spec.name, spec.lock)
    if generation is None:
        return [failed("compute.torch", "`%s` has no python to run" % spec.name, spec.name, environments.APPLY)]
    gpus = gpu_report.ask(system, 30.0).get("gpus") or []
    kept = {gpu["uuid"]: busy(gpu, spec.busy) for gpu in gpus}
    free = [gpu for gpu in gpus if spec.product and not kept[gpu["uuid"]]]
    told = _as_built(system, generation) if not free else None
    words = ""
    if told is None:
        told, words = _run(spec, system, generation, free)
    found = _versions(spec, told, words)
    if any(one["status"] == "failed" for one in found):
        return found
    return found + _products(spec, gpus, kept, told, words)


def busy(gpu: Dict[str, Any], anyway: bool = False) -> str:
    """Why a GPU is not computed on, "" where it is free; `anyway`: only where it cannot be, not where it may not."""
    if gpu["mig"] == "Enabled":
        return "MIG mode is on: its instances are not probed"
    if anyway:
        return ""
    users = ["`%s` (pid %s)" % (one["name"], one["pid"]) for one in gpu["processes"] if "C" in one["kind"]]
    if users:
        return "busy: not probed; %s" % ", ".join(users)
    if gpu["mode"].startswith("Exclusive"):
        return "busy: not probed; its compute mode is exclusive"
    if (gpu["used_mb"] or 0) > _HIDDEN_MB and not gpu["processes"]:
        return "busy: not probed; %d MiB are in use by a process that cannot be seen" % gpu["used_mb"]
    return ""


def judge(answer: Dict[str, Any], gpu: Dict[str, Any], seconds: float, simulated: bool, environment: str) -> Finding:
    """The finding of one product, by an environment's torch; pure."""
    check, name, uuid = "compute.product", "GPU %d (%s)" % (gpu["index"], gpu["name"]), gpu["uuid"]
    mend = "see `nvidia-smi -q -i %d` and `sudo dmesg | grep -i xid`; then reset the GPU" % gpu["index"]
    detail: Dict[str, Any] = {"environment": environment, "simulated": simulated}
    if answer.get("problem"):
        summary = "%s does not compute in `%s`: %s" % (name, environment, answer["problem"])
        return failed(check, summary, uuid, mend, **detail)
    detail.update(milliseconds=round(answer["seconds"] * 1000, 3), error=answer["error"])
    if not answer["error"] <= _ERROR:  # not a number is wrong, too
        return failed(check, "%s computes wrong: error %.1e" % (name, answer["error"]), uuid, mend, **detail)
    if answer["seconds"] > seconds:
        summary = "%s took %.1f s for one product" % (name, answer["seconds"])
        return failed(check, summary, uuid, mend, **detail)
    return ok(check, "a product of two matrices is right", uuid, **detail)


def _as_built(system: System, generation: generations.Generation) -> Optional[List[Dict[str, Any]]]:
    """What torch said of itself at build, where the files and the driver are those of then."""
    seal = generations.seal_of(system, generation.path)
    if not (seal.get("probe") or {}).get("torch") or not imports.proven(system, generation.path, seal, []):
        return None
    return [{key: seal["probe"].get(key) for key in ("torch", "cuda", "simulated")}]


def _run(spec: Spec, system: System, generation: generations.Generation, free: List[Dict[str, Any]]) -> Any:
    """What the program told, and in words how it ended where that was not well."""
    names = [gpu["uuid"] for gpu in free]
    job = {"devices": names, "memory": spec.memory_mb << 20}
    python = os.path.join(generation.path, "bin", "python")
    timeout = spec.deadline + spec.seconds * len(free)
    places = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(names)}
    done = system.run(
        [python, "-I", "-B", "-c", product.PROGRAM, json.dumps(job)],
        timeout=timeout,
        environment={**imports.variables(system, generation), **places},
        directory="/",
        user=prefix.runner(system, spec.user, generation.path),
    )
    words = "no answer within %g s" % timeout if done.timed_out else ""
    if done.returncode and not words:
        words = "its python ends with status %d: %s" % (done.returncode, done.stderr.strip()[-300:])
    return product.read(done.stdout), words


def _versions(spec: Spec, told: List[Dict[str, Any]], words: str) -> List[Finding]:
    first = told[0] if told else {}
    if "torch" not in first:
        summary = "torch cannot be loaded: %s" % (words or "it said nothing")
        return [failed("compute.torch", summary, spec.name, environments.APPLY)]
    simulated = bool(first.get("simulated"))
    found = []
    for key, seen in (("torch", str(first["torch"]).partition("+")[0]), ("cuda", str(first["cuda"]))):
        wanted = spec.expect.get(key)
        if wanted is None:
            continue
        if seen != wanted:
            summary = "%s is %s, meant is %s" % ("CUDA of torch" if key == "cuda" else key, seen, wanted)
            mend = "see which package brought it: `provision lock`"
            found.append(failed("compute." + key, summary, spec.name, mend, seen=seen, simulated=simulated))
        else:
            found.append(ok("compute." + key, "%s %s" % (key, seen), spec.name, simulated=simulated))
    return found


def _products(
    spec: Spec, gpus: List[Dict[str, Any]], kept: Dict[str, str], told: List[Dict[str, Any]], words: str
) -> List[Finding]:
    check = "compute.product"
    if not gpus:
        return [skipped(check, "no GPU is there: nothing is computed", spec.name)]
    if not spec.product:
        return [skipped(check, "another environment computes", spec.name)]
    seen = {entry["device"]: entry for entry in told if "device" in entry}
    common = next((entry["problem"] for entry in told if "device" not in entry and "problem" in entry), "")
    simulated = bool(told[0].get("simulated"))
    found = []
    for gpu in gpus:
        reason, uuid = kept[gpu["uuid"]], gpu["uuid"]
        if reason:
            summary = "GPU %d: %s" % (gpu["index"], reason)
            found.append(skipped(check, summary, uuid, processes=gpu["processes"], simulated=simulated))
        else:
            answer = seen.get(uuid) or {"problem": common or words or "torch said nothing of it"}
            found.append(judge(answer, gpu, spec.seconds, simulated, spec.name))
    return found
