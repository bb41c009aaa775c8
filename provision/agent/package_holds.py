"""Which of Debian's packages are held, so that no upgrade changes them; asks dpkg and tells apt-mark."""

from __future__ import annotations

from typing import Dict, List, Sequence

from .resource import Emit, Refusal
from .system import System

__all__ = ["answer", "held", "mark"]

_DEADLINE = 60.0


def answer(system: System, names: Sequence[str]) -> Dict[str, bool]:
    """The common answer to the question "hold": whether each package is held. Raises Refusal where there is no dpkg."""
    try:
        argv = ["dpkg-query", "--show", "--showformat=${Package}\\t${db:Status-Want}\\n", "--", *names]
        done = system.run(argv, timeout=_DEADLINE)
    except FileNotFoundError:
        raise Refusal(
            "packages cannot be held on this host",
            "there is no `dpkg-query`: only Debian's and Ubuntu's packages are supported",
            "leave `hold` out for this host",
        ) from None
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    found = {line[0] for line in lines if len(line) == 2 and line[1] == "hold"}
    return {name: name in found for name in names}


def held(system: System, names: Sequence[str]) -> List[str]:
    """Those that are held, from the batch's common answers where they are still valid."""
    known = {name: system.answers[("hold", name)] for name in names if ("hold", name) in system.answers}
    missing = [name for name in names if name not in known]
    return [name for name, holds in {**known, **(answer(system, missing) if missing else {})}.items() if holds]


def mark(system: System, word: str, names: Sequence[str], emit: Emit) -> None:
    """Hold or release packages; `word` is `hold` or `unhold`. Refusal when apt-mark fails."""
    done = system.run(["apt-mark", word, "--", *names], timeout=_DEADLINE, emit=emit)
    if done.returncode:
        raise Refusal(
            "`apt-mark %s` failed" % word,
            "it did not end within %g s" % _DEADLINE if done.timed_out else (done.stderr or done.stdout).strip(),
            "run it there by hand to see more",
        )
