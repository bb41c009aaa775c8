"""The agent's start on a host: descriptors, the host's lock, then the pump.

Called by the bootstrap with the control node's hello. Must not import what a run may not need.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Callable, Dict, Optional

from .deferred import defer

defer("inspect")

from . import gpus, lock  # noqa: E402
from .facts import gather  # noqa: E402
from .protocol import VERSION, Fatal, encode, to_message  # noqa: E402
from .pump import Pump  # noqa: E402

__all__ = ["main"]


def main(hello: Dict[str, Any], archive: str, compiled: str) -> int:
    """Serve one run over standard input and output; the process's exit code."""
    source, sink = _take_streams()
    if hello.get("version") != VERSION:
        wrong = "the control node speaks version %s, this agent %d" % (hello.get("version"), VERSION)
        return _fatal(sink, Fatal("protocol", "the agent is of another version", wrong, "run again"))
    question = gpus.Question.start() if hello.get("facts", True) else None
    holder = _holder(hello)
    try:
        held = _lock(hello, holder)
    except lock.Held as error:
        return _fatal(sink, _locked(error.holder, holder))
    except OSError as error:
        summary = "the host's lock cannot be taken in `%s`" % hello["state"]
        return _fatal(sink, Fatal("state", summary, str(error), "free its disk, or mount it writable"))
    gone = False
    try:
        _serve(hello, source, sink, held, holder, question)
        from .leaving import leave

        gone = leave(str(hello["state"]))
    finally:
        if held >= 0:
            lock.release(held, _lock_path(hello))
    from .compiled import keep

    if not gone:
        keep(archive, compiled)
    return 0


def _serve(
    hello: Dict[str, Any], source: int, sink: int, held: int, holder: Dict[str, Any], question: Optional[gpus.Question]
) -> None:
    facts = gather(hello.get("groups") or ()) if hello.get("facts", True) else {}
    if facts:
        facts.update(gpu=gpus.no_answer(), simulated=False)

    def busy(doing: Optional[str]) -> None:
        if hello.get("lock") == "exclusive":
            lock.note(held, holder, doing)

    pump = Pump(hello, source, sink, held, _work(hello, held), busy)
    try:
        pump.run(facts, question)
    except Exception as error:
        import traceback

        tail = traceback.format_exc()[-4000:]
        _fatal(sink, Fatal("internal", "the agent failed: %s" % error, tail, "report this: it is a fault"))


def _work(hello: Dict[str, Any], held: int) -> Callable[[Dict[str, Any]], Callable[[int, int], None]]:
    """What a worker does, from the facts: the converge loop, imported before the fork so that all share it."""
    # not secret to the host; without one from the control node hashes can be compared within this host's run only
    key = str(hello.get("key") or os.urandom(16).hex()).encode()

    def make(facts: Dict[str, Any]) -> Callable[[int, int], None]:
        from . import worker

        def work(reads: int, writes: int) -> None:
            worker.live(reads, writes, held, key, facts, str(hello["state"]))

        return work

    return make


def _take_streams() -> tuple[int, int]:
    """Our own copies of the channel; nothing that reads or writes the usual descriptors disturbs it any more."""
    import fcntl

    source = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 10)
    sink = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 10)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return source, sink


def _lock(hello: Dict[str, Any], holder: Dict[str, Any]) -> int:
    mode = hello.get("lock", "exclusive")
    os.makedirs(str(hello["state"]), 0o755, exist_ok=True)
    return -1 if mode == "none" else lock.acquire(_lock_path(hello), str(mode), holder)


def _lock_path(hello: Dict[str, Any]) -> str:
    return os.path.join(str(hello["state"]), "lock")


def _holder(hello: Dict[str, Any]) -> Dict[str, Any]:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {key: str(hello.get(key, "")) for key in ("operator", "run", "host")}
    return {**said, "pid": os.getpid(), "since": since}


def _locked(other: Dict[str, Any], own: Dict[str, Any]) -> Fatal:
    """Who holds the host, in words."""
    who = {key: str(other.get(key) or "?") for key in ("operator", "run", "host", "pid", "since")}
    if own["run"] and other.get("run") == own["run"] and other.get("host") != own["host"]:
        return Fatal(
            "locked",
            "this run already works on this host under another name",
            "`%s` and `%s` lead to one machine" % (who["host"], own["host"]),
            "remove one of the two from the inventory, or leave it out with `--limit`",
        )
    cause = "run %s of %s holds it since %s (pid %s)" % (who["run"], who["operator"], who["since"], who["pid"])
    if other.get("doing"):
        cause += "\nit must finish this first: %s" % other["doing"]
    hint = "wait until that run ended; a run that is killed frees the host within a second"
    return Fatal("locked", "another run works on this host", cause, hint)


def _fatal(sink: int, fatal: Fatal) -> int:
    data = encode(to_message(fatal))
    try:
        os.set_blocking(sink, True)
        while data:
            data = data[os.write(sink, data) :]
    except OSError:
        print(fatal.summary, fatal.cause, file=sys.stderr)
    return 3
