"""What a host without Python can still be asked: one shell script's answers, and the command that brings Python.

Pure but for `run`, which reads one channel to its end.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass

from provision.errors import ProvisionError
from provision.printable import printable
from provision.transport import Channel, ChannelClosed, Connection

__all__ = ["Bare", "Ended", "bootstrap", "look", "missing", "parse", "run"]

INSTALLS = {
    "apt-get": "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3",
    "dnf": "dnf install -y python3",
    "yum": "yum install -y python3",
    "apk": "apk add --no-cache python3",
    "zypper": "zypper --non-interactive install python3",
}
"""Package managers in the order in which they are looked for, with what brings Python."""
_MARK = "provision-bare:"
_SCRIPT = """\
echo provision-bare:uid=$(id -u);
if v=$("$1" -c "import sys; print(sys.version_info >= (3, 8) and 1 or 0)" 2>/dev/null);
then echo "provision-bare:python=$v"; fi;
for m in %s; do if command -v $m >/dev/null 2>&1; then echo provision-bare:manager=$m; break; fi; done
"""
_ONE_TRY = 'IFS= read -r word; printf "%s\\n" "$word" | sudo -S -p "" -- /bin/sh -c "$1"'
"""sudo reads one line and then an end: a wrong password is refused, and not asked for again without end."""
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Bare:
    """A host's answers. `python`: "there", "old" or "missing"; `manager`: "" where none is known."""

    root: bool
    python: str
    manager: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that ended: its code (None: it never said), and both its streams."""

    code: int | None
    output: str
    errors: str

    @property
    def tail(self) -> str:
        """The end of what it said, for an error."""
        said = "\n".join(text.strip() for text in (self.output, self.errors) if text.strip())
        return "\n".join(said.splitlines()[-8:])[-1000:]


def look(python: str) -> str:
    """The command whose output `parse` reads; it changes nothing."""
    script = (_SCRIPT % " ".join(INSTALLS)).replace("\n", " ").strip()
    return shlex.join(["/bin/sh", "-c", script, "sh", python])


def parse(said: str) -> Bare:
    """The answers in what the command wrote, whatever login scripts wrote around them."""
    answers: Mapping[str, str] = dict(
        line.partition(_MARK)[2].strip().split("=", 1) for line in said.splitlines() if "=" in line.partition(_MARK)[2]
    )
    python = {"1": "there", "0": "old"}.get(answers.get("python", ""), "missing")
    manager = answers.get("manager", "")
    return Bare(answers.get("uid") == "0", python, manager if manager in INSTALLS else "")


def bootstrap(bare: Bare, *, password: bool) -> str:
    """The command that installs Python, by sudo where needed; with a password it is read from standard input."""
    script = f"({INSTALLS[bare.manager]}) </dev/null"
    if bare.root:
        return shlex.join(["/bin/sh", "-c", script])
    if password:
        return shlex.join(["/bin/sh", "-c", _ONE_TRY, "sh", script])
    return shlex.join(["sudo", "-n", "--", "/bin/sh", "-c", script])


def missing(name: str, python: str, bare: Bare, again: str) -> ProvisionError:
    """The error for a host whose Python is missing or too old; `again` is the command to be run again."""
    if bare.python == "old":
        return ProvisionError(
            f"`{python}` on {name} is too old",
            cause="Python 3.8 or newer is needed there",
            hint="install a newer one, and set `ansible_python_interpreter` to it",
            exit_code=2,
        )
    if not bare.manager:
        hint = "install Python 3.8 or newer there, or set `ansible_python_interpreter`"
        cause = f"none of {', '.join(INSTALLS)} is there to install it"
        return ProvisionError(f"{name} has no `{python}`", cause=cause, hint=hint, exit_code=2)
    command = INSTALLS[bare.manager] if bare.root else f"sudo sh -c {shlex.quote(INSTALLS[bare.manager])}"
    hint = f"run there:\n{command}\nor let it be run: {again} --bootstrap"
    return ProvisionError(f"{name} has no `{python}`", cause="everything there runs by it", hint=hint, exit_code=2)


def run(connection: Connection, command: str, *, stdin: str = "", seconds: float = 30.0) -> Ended:
    """Run one command to its end; raises Unreachable where none starts, and TimeoutError after `seconds`."""
    channel = connection.start(command)
    try:
        if stdin:
            channel.send(stdin.encode())
        output = _read(channel, time.monotonic() + seconds)
        deadline = time.monotonic() + 2
        while channel.returncode() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return Ended(channel.returncode(), printable(output.decode("utf-8", "replace")), channel.stderr())
    except ChannelClosed:
        return Ended(channel.returncode(), "", channel.stderr())
    finally:
        channel.close()


def _read(channel: Channel, deadline: float) -> bytes:
    """Standard output to its end; its beginning is dropped where it is long."""
    kept = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        try:
            data = channel.receive(left)
        except ChannelClosed:
            return kept
        if not data:
            return kept
        kept = (kept + data)[-_LIMIT:]
