"""`start-apps`: starts supervisor unless it runs, and starts it again when it is killed. Safe to call at any time.

Owns one lock, held by whatever of this still lives: a second caller finds it held, waits until supervisor answers and
ends well. Must not know apps.
"""

import fcntl
import os
import socket
import subprocess
import sys
import time

DEADLINE = 20.0
PAUSE = 1.0
CLEAN = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""What supervisor gets of variables: nothing of the login, or the app, that happened to start it."""


def main(folder: str, configuration: str, apps: str, run: str, logs: str) -> int:
    """The exit code: 0 when supervisor answers, or where there is no app to keep."""
    if not any(name.endswith(".conf") for name in os.listdir(apps)):
        return 0
    os.makedirs(run, 0o755, exist_ok=True)
    os.makedirs(logs, 0o750, exist_ok=True)
    lock = os.open(os.path.join(run, "supervisor.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return answers(os.path.join(run, "supervisor.sock"))
    if os.fork() == 0:
        keep(folder, configuration, lock)
    os.close(lock)
    return answers(os.path.join(run, "supervisor.sock"))


def answers(path: str) -> int:
    """Wait until somebody listens at a socket; 1 when nobody does in time."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(path)
                return 0
            except OSError:
                time.sleep(0.05)
    print("supervisor does not answer within %g s" % DEADLINE, file=sys.stderr)
    return 1


def keep(folder: str, configuration: str, lock: int) -> None:
    """In a process of its own: run supervisor until it ends by itself; never returns."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.chdir("/")
    program = "import sys; sys.path.insert(0, %r); from supervisor.supervisord import main; main()" % folder
    argv = [sys.executable, "-IS", "-c", program, "--nodaemon", "--silent", "--configuration", configuration]
    while subprocess.call(argv, pass_fds=[lock], env=CLEAN):
        time.sleep(PAUSE)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:6]))
