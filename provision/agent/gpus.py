"""What nvidia-smi says of GPUs and driver: asked in the background, read when it comes, given up at a deadline."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional

from .spawn import CLEAN_PATH, find_program

__all__ = ["Question", "ask", "is_simulated", "no_answer", "parse_devices", "parse_table"]

DEADLINE = 10.0
_FIELDS = ["index", "uuid", "name", "memory.total", "compute_cap"]
_MARK = b"provision-lab-simulated"
_LIMIT = 1 << 20


class Question:
    """nvidia-smi at work. Its table names driver and CUDA, its query the devices; both run at once."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.deadline = time.monotonic() + DEADLINE
        self._texts: Dict[str, bytes] = {}
        self._running: Dict[int, str] = {}
        self._children: Dict[str, int] = {}
        self._ask("table", [])
        self._ask("devices", ["--query-gpu=" + ",".join(_FIELDS), "--format=csv,noheader,nounits"])

    @staticmethod
    def start() -> Optional[Question]:
        """Ask, where there is an nvidia-smi."""
        try:
            return Question(find_program("nvidia-smi", CLEAN_PATH))
        except OSError:
            return None

    def descriptors(self) -> List[int]:
        """What to wait for; none when the answer is complete."""
        return list(self._running)

    def take(self, descriptor: int) -> None:
        """Read what came there."""
        what = self._running[descriptor]
        data = os.read(descriptor, 65536)
        if data and len(self._texts[what]) < _LIMIT:
            self._texts[what] += data
            return
        del self._running[descriptor]
        os.close(descriptor)
        self._end(what)
        # drivers before 460 do not know this field
        if what == "devices" and b"compute_cap" in self._texts[what]:
            fields = [name for name in _FIELDS if name != "compute_cap"]
            self._ask("old devices", ["--query-gpu=" + ",".join(fields), "--format=csv,noheader,nounits"])

    def give_up(self) -> None:
        """Kill what still runs."""
        for descriptor in list(self._running):
            os.close(descriptor)
            self._end(self._running.pop(descriptor), kill=True)

    def answer(self) -> Dict[str, Any]:
        """The fact `gpu`; `error` says what kept nvidia-smi from answering."""
        late = bool(self._running) or time.monotonic() > self.deadline
        self.give_up()
        table = self._text("table")
        driver, cuda = parse_table(table)
        devices = parse_devices(self._text("old devices") or self._text("devices"))
        found = {"driver": driver, "cuda": cuda, "devices": devices, "simulated": is_simulated(self.program)}
        if driver is None or not devices:
            found["driver"] = driver or _loaded_driver()
            silent = "nvidia-smi gave no answer within %d s" % DEADLINE
            found["error"] = silent if late else " ".join(table.split())[:500] or "nvidia-smi said nothing"
        return found

    def _text(self, what: str) -> str:
        return self._texts.get(what, b"").decode("utf-8", "replace")

    def _ask(self, what: str, arguments: List[str]) -> None:
        reads, writes = os.pipe()
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, writes, 1),
            (os.POSIX_SPAWN_DUP2, writes, 2),
        ]
        environment = {"PATH": CLEAN_PATH, "LANG": "C.UTF-8"}
        argv = [self.program, *arguments]
        self._texts[what] = b""
        try:
            self._children[what] = os.posix_spawn(self.program, argv, environment, file_actions=actions, setpgroup=0)
        finally:
            os.close(writes)
        self._running[reads] = what

    def _end(self, what: str, kill: bool = False) -> None:
        child = self._children.pop(what)
        try:
            if kill:
                os.killpg(child, 9)
            # one that hangs in the driver cannot be waited for
            os.waitpid(child, os.WNOHANG if kill else 0)
        except OSError:
            pass


def ask() -> Dict[str, Any]:
    """The fact `gpu` as it is now; waits for nvidia-smi until its deadline."""
    import select

    question = Question.start()
    if question is None:
        return no_answer()
    while question.descriptors() and time.monotonic() < question.deadline:
        ready, _, _ = select.select(question.descriptors(), [], [], question.deadline - time.monotonic())
        for descriptor in ready:
            question.take(descriptor)
    return question.answer()


def no_answer() -> Dict[str, Any]:
    """The fact `gpu` of a host without nvidia-smi."""
    return {"driver": _loaded_driver(), "cuda": None, "devices": [], "simulated": False}


def parse_table(text: str) -> tuple[Optional[str], Optional[str]]:
    """Driver and CUDA version from the table that nvidia-smi prints."""
    return _after(text, "Driver Version:"), _after(text, "CUDA Version:")


def _after(text: str, words: str) -> Optional[str]:
    rest = text.partition(words)[2].split()
    return rest[0] if rest and rest[0][0].isdigit() else None


def parse_devices(text: str) -> List[Dict[str, Any]]:
    """Devices from the lines `index, uuid, name, memory in MiB[, compute capability]`; other lines are left out."""
    devices = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) < 4 or not parts[0].isdigit():
            continue
        devices.append(
            {
                "index": int(parts[0]),
                "uuid": parts[1],
                "name": parts[2],
                "memory_mb": int(parts[3]) if parts[3].isdigit() else None,
                "compute_capability": parts[4] if len(parts) > 4 else None,
            }
        )
    return devices


def is_simulated(program: str) -> bool:
    """Whether this nvidia-smi is the lab's."""
    try:
        with open(program, "rb") as file:
            return _MARK in file.read(4096)
    except OSError:
        return False


def _loaded_driver() -> Optional[str]:
    """The version of the kernel module that is loaded, which is there also where nvidia-smi fails."""
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8", errors="replace") as file:
            words = file.readline().split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and "." in word), None)
