"""`run-app NAME`: becomes the app, as its unit says; what supervisor runs on a host without systemd.

Reads the units that provision itself writes, not any unit. The process keeps its pid, so that supervisor's child is
the app. It dies with supervisor: an app that nobody watches and whose log nobody reads is worse than one that is down.
"""

import os
import pwd
import sys
import time
from typing import Dict, List, Tuple

VARIABLE = "PROVISION_APP"
_ESCAPES = {"n": "\n", "t": "\t"}
_PATIENCE = 5.0


def main(units: str, run: str, name: str) -> None:
    """Never returns, but where the app cannot be started: then its log says why."""
    with open(os.path.join(units, name + ".service"), encoding="utf-8", errors="surrogateescape") as stream:
        service = read(stream.read())
    end_leftovers(name)
    count(os.path.join(run, name + ".starts"))
    print("provision: starts at %d (%s)" % (time.time(), time.strftime("%Y-%m-%d %H:%M:%S %z")), flush=True)
    person = pwd.getpwnam(service["User"][0])
    base = {"HOME": person.pw_dir, "USER": person.pw_name, "LOGNAME": person.pw_name, "SHELL": person.pw_shell}
    variables = environment(service, {**base, VARIABLE: name})
    become(person)
    os.chdir(service["WorkingDirectory"][0].replace("%%", "%"))
    die_with_parent()
    command = words(service["ExecStart"][0], command=True)
    os.execve(command[0], command, variables)


def read(text: str) -> Dict[str, List[str]]:
    """The lines of a unit's [Service] section by their key."""
    found: Dict[str, List[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line:
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def environment(service: Dict[str, List[str]], base: Dict[str, str]) -> Dict[str, str]:
    """Variables as systemd lays them: the unit's over the base, a secrets file's over those, then what is unset."""
    variables = dict(base)
    for line in service.get("Environment", []):
        variables.update(pair(word) for word in words(line))
    for path in service.get("EnvironmentFile", []):
        with open(path.replace("%%", "%"), encoding="utf-8", errors="surrogateescape") as stream:
            variables.update(read_secrets(stream.read()))
    for line in service.get("UnsetEnvironment", []):
        for name in words(line):
            variables.pop(name, None)
    return variables


def pair(word: str) -> Tuple[str, str]:
    """NAME=VALUE apart."""
    name, _, value = word.partition("=")
    return name, value


def words(line: str, command: bool = False) -> List[str]:
    """The words of a unit's line, by the rules of systemd.syntax(7) that provision writes by."""
    found: List[str] = []
    letters = iter(line)
    word, inside, begun = "", False, False
    for letter in letters:
        if letter == '"':
            inside, begun = not inside, True
        elif letter == "\\":
            following = next(letters, "")
            word, begun = word + _ESCAPES.get(following, following), True
        elif letter in "%$" and (letter == "%" or command):
            word, begun = word + next(letters, letter), True
        elif letter == " " and not inside:
            if begun:
                found.append(word)
            word, begun = "", False
        else:
            word, begun = word + letter, True
    return [*found, word] if begun else found


def read_secrets(text: str) -> Dict[str, str]:
    r"""The variables of a secrets file: NAME="VALUE", with `\` before what is special to a shell."""
    found: Dict[str, str] = {}
    while '="' in text:
        name, _, rest = text.partition('="')
        value, at = "", 0
        while at < len(rest) and rest[at] != '"':
            at += rest[at] == "\\"
            value += rest[at : at + 1]
            at += 1
        found[name.strip()], text = value, rest[at + 1 :]
    return found


def end_leftovers(name: str) -> None:
    """End what an earlier start of the app left: it would hold the port, and memory of GPUs."""
    left = leftovers(name)
    for signal in (15, 9):
        for pid in left:
            _signal(pid, signal)
        deadline = time.monotonic() + _PATIENCE
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = leftovers(name)


def leftovers(name: str) -> List[int]:
    """The processes that carry the app's name in their environment."""
    mark = ("\0%s=%s\0" % (VARIABLE, name)).encode()
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and mark in _environment(entry)]


def _environment(pid: str) -> bytes:
    try:
        with open("/proc/%s/environ" % pid, "rb") as stream:
            return b"\0" + stream.read()
    except OSError:
        return b""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass


def count(path: str) -> None:
    """One more start."""
    try:
        with open(path, encoding="ascii") as stream:
            before = int(stream.read())
    except (OSError, ValueError):
        before = 0
    with open(path + ".new", "w", encoding="ascii") as stream:
        stream.write("%d\n" % (before + 1))
    os.rename(path + ".new", path)


def become(person: pwd.struct_passwd) -> None:
    """Become the app's user, without a limit on locked memory where that is allowed."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        pass  # a container may not allow it; then a program that needs it says so
    if person.pw_uid != os.geteuid():
        os.initgroups(person.pw_name, person.pw_gid)
        os.setgid(person.pw_gid)
        os.setuid(person.pw_uid)
    os.umask(0o022)


def die_with_parent() -> None:
    """Be killed when supervisor is; where this Python cannot say so, the next start ends what was left."""
    parent = os.getppid()
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        sys.exit("supervisor is gone")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:4])
    except (OSError, KeyError, IndexError) as error:
        sys.exit("provision: cannot start `%s`: %s: %s" % (sys.argv[-1], type(error).__name__, error))
