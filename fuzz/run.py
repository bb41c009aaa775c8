"""Runs the fuzzers for a given time, two at a time, and writes what they did to docs/fuzzing.md.

    python fuzz/run.py [--minutes 1] [--table FILE] [TARGET ...]

What crashes, or takes over a second, is written to fuzz/found/ and ends its target; once mended, the input becomes a
case in tests/unit/fuzz_cases/TARGET/. Needs atheris (the extra `fuzz`).
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
FOUND = HERE / "found"
NAMES = ("source", "patterns", "frames", "locks")
HEAD = """\
# Fuzzing

Written by `make fuzz`: what [atheris](https://github.com/google/atheris) fed, led by coverage, to the parts that read
what others wrote. An input must give a value or be refused by name, within a second and 512 MB.

| target | reads | minutes | inputs | coverage | crashes and hangs |
|---|---|---|---|---|---|
"""
READS = {
    "source": "YAML of playbooks, roles and inventories",
    "patterns": "host patterns and ranges",
    "frames": "what an agent sends",
    "locks": "the manifest of a lock",
}


@dataclass
class Done:
    """What a fuzzer did."""

    name: str
    inputs: int
    coverage: int
    found: list[str]
    said: str


def fuzz(name: str, seconds: float) -> Done:
    """Run one target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix=f"provision-fuzz-{name}-") as folder:
        grown = Path(folder, "corpus")
        shutil.copytree(HERE / "corpus" / name, grown)
        FOUND.mkdir(exist_ok=True)
        before = set(FOUND.iterdir())
        limits = ["-timeout=1", "-rss_limit_mb=512", "-max_len=4096", f"-max_total_time={int(seconds)}"]
        argv = [sys.executable, __file__, "--child", name, *limits, f"-artifact_prefix={FOUND}/{name}-", str(grown)]
        ended = subprocess.run(
            [*argv, "-print_final_stats=1"], capture_output=True, text=True, errors="replace", timeout=seconds + 120
        )
        said = ended.stderr + ended.stdout
    inputs = re.findall(r"stat::number_of_executed_units: (\d+)", said)
    coverage = re.findall(r"cov: (\d+)", said)
    found = sorted(path.name for path in set(FOUND.iterdir()) - before if path.name.startswith(f"{name}-"))
    if ended.returncode and not found:
        found = [f"exit code {ended.returncode}"]
    return Done(name, int(inputs[-1]) if inputs else 0, int(coverage[-1]) if coverage else 0, found, said)


def child(name: str, arguments: list[str]) -> None:
    """In the process of one target."""
    import atheris

    with atheris.instrument_imports(include=["provision", "yaml"]):
        from targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda name: fuzz(name, 60 * options.minutes), options.targets or NAMES))
    for one in done:
        print(f"{one.name:10} {one.inputs:>9,} inputs, coverage {one.coverage}, found {one.found or 'nothing'}")
        if one.found:
            print(one.said[-4000:])
    if options.table:
        rows = (
            f"| {one.name} | {READS[one.name]} | {options.minutes:g} | {one.inputs:,} | {one.coverage} |"
            f" {len(one.found)} |\n"
            for one in done
        )
        options.table.write_text(HEAD + "".join(rows))
    return 1 if any(one.found for one in done) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
