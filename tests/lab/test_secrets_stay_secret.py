"""A random secret goes through everything that a run does, and is found nowhere but where it was to go.

It is put into a vault, applied, rotated, and passed through a failing task, a loop, diffs, output of commands, a
registered result, a template error and Ctrl-C. Looked at: all that is printed, the history, the files of control node
and host, the host's journal, and the arguments and environments of all processes of both while it runs (the hosts of a
lab are on this machine, so that its /proc shows theirs).
"""

from __future__ import annotations

import base64
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.lab.fleet import Lab
from provision.lab.hosts import Host
from provision.secret import vault

pytestmark = pytest.mark.lab

HOST = "gpu-03"
FILES = "/etc/proof-of-secrets"
PLAY = f"""
- hosts: {HOST}
  vars_files: [vault.yml]
  vars:
    users: [{{name: one, token: "{{{{ token }}}}"}}, {{name: two, token: "x{{{{ token }}}}"}}]
  tasks:
    - {{name: folder, file: {{path: {FILES}, state: directory, mode: "0700"}}}}
    - {{name: written, copy: {{dest: {FILES}/key, content: "key={{{{ token }}}}\\n", mode: "0600"}}}}
    - {{name: sealed, copy: {{dest: {FILES}/sealed, src: sealed.txt, mode: "0600"}}}}
    - name: looped
      template: {{dest: "{FILES}/{{{{ item.name }}}}", src: user.j2, mode: "0600"}}
      loop: "{{{{ users }}}}"
    - name: fails
      shell: {{cmd: "cat; cat {FILES}/key >&2; sleep 0.3; exit 3", stdin: "{{{{ token }}}}"}}
      register: failing
      ignore_errors: true
    - name: fails in the open
      shell: {{cmd: "cat {FILES}/key; base64 -w0 {FILES}/one >&2; exit 4"}}
      register: open
      ignore_errors: true
    - {{name: told, debug: {{var: failing}}, ignore_errors: true}}
    - {{name: told as well, debug: {{msg: "{{{{ open }}}} {{{{ token | hash('sha256') }}}} {{{{ users }}}}"}}}}
    - {{name: asserted, assert: {{that: ["1 == 2"], fail_msg: "it is {{{{ token }}}}"}}, ignore_errors: true}}
"""
BROKEN = f"""
- hosts: {HOST}
  vars_files: [vault.yml]
  tasks:
    - {{name: broken, copy: {{dest: {FILES}/broken, content: "{{{{ token | from_json }}}}"}}}}
"""
LONG = f"""
- hosts: {HOST}
  vars_files: [vault.yml]
  tasks:
    - {{name: long, command: {{argv: [sleep, "4711"], stdin: "{{{{ token }}}}"}}}}
"""


class Look:
    """Looks at the arguments and environments of all processes, until it is closed."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    try:
                        self.seen.add((process / name).read_bytes())
                    except OSError:
                        pass

    def close(self) -> None:
        self._over.set()
        self._thread.join()


def forms(core: str) -> list[bytes]:
    """The secret's middle as it stands in texts, and in base64 wherever it begins in what was encoded."""
    encoded = [base64.b64encode(b"x" * shift + core.encode())[4 : 4 + len(core)] for shift in range(3)]
    return [core.encode(), *encoded]


def said(folder: Path, lab: Lab, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "provision", *words, "-i", str(lab.inventory), "-y"]
    command += ["--vault-password-file", "password", "-D", "-vv"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder)


def sealed(folder: Path, token: str) -> None:
    (folder / "vault.yml").write_text(vault.encrypt(f'token: "{token}"\n'.encode(), b"the password"))
    (folder / "files/sealed.txt").write_text(vault.encrypt(f"sealed {token}\n".encode(), b"the password"))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, text in {"play.yaml": PLAY, "broken.yaml": BROKEN, "long.yaml": LONG, "password": "the password"}.items():
        (tmp_path / name).write_text(text)
    for name in ("files", "templates"):
        (tmp_path / name).mkdir()
    (tmp_path / "templates/user.j2").write_text("{{ item.name }}: {{ item.token | b64encode }}\n")
    yield tmp_path


def temporary() -> Iterator[Path]:
    """Where this machine keeps what is for a moment."""
    for folder in {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}:
        yield from folder.glob("*")


def content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size < 64 << 20 else b""
    except OSError:  # it was somebody else's, and is gone
        return b""


def left_on(host: Host, wanted: list[bytes]) -> str:
    """Files of the host that hold the secret, and lines of its journal."""
    words = "\n".join(form.decode() for form in wanted)
    places = "/var/lib/provision /var/log /var/tmp /tmp /run /etc /root /home /opt/provision /dev/shm"
    script = f"""
        grep -rlaF -f - {places} 2>/dev/null | grep -v -e '^{FILES}/'
    """
    found = host.run(["bash", "-c", script], stdin=words, check=False).stdout
    journal = host.run(["bash", "-c", "journalctl --no-pager -o export | grep -acF -f -"], stdin=words, check=False)
    return found + (journal.stdout if journal.stdout.strip() != "0" else "")


def test_a_secret_is_nowhere_but_where_it_was_to_go(lab: Lab, folder: Path) -> None:
    cores = [secrets.token_hex(16) for _ in range(2)]
    host, look, printed = lab.host(HOST), Look(), b""
    try:
        for core in cores:  # the second rotates the first
            sealed(folder, f"{core}'$ &/+")
            run = said(folder, lab, "apply", "play.yaml")
            printed += run.communicate(timeout=120)[0]
            assert run.returncode == 0, printed.decode()
            assert f"key={core}'$ &/+\n" == host.run(["cat", f"{FILES}/key"]).stdout
        for words in (["apply", "play.yaml", "-o", "jsonl"], ["apply", "broken.yaml", "-o", "json"]):
            run = said(folder, lab, *words)
            printed += run.communicate(timeout=120)[0]
        assert run.returncode == 2, printed.decode()
        run = said(folder, lab, "apply", "long.yaml")
        deadline = time.monotonic() + 60
        while b"sleep\x004711\x00" not in look.seen and time.monotonic() < deadline:
            time.sleep(0.02)
        run.send_signal(signal.SIGINT)
        printed += run.communicate(timeout=60)[0]
    finally:
        look.close()
    wanted = [form for core in cores for form in forms(core)]
    assert host.run(["grep", "-rlaF", forms(cores[1])[0].decode(), FILES]).stdout.split(), "the search itself finds"
    assert b"sleep\x004711\x00" in look.seen
    assert b"***" in printed and b"it is ***" in printed and b"keyed hash" in printed
    assert not [form for form in wanted if form in printed], printed.decode()
    assert not [text for text in look.seen if any(form in text for form in wanted)]
    kept = [*folder.rglob("*"), *Path(lab.inventory).parent.glob(".provision/**/*")]
    assert any(path.name == "history.db" for path in kept)
    assert not [path for path in (*kept, *temporary()) if any(form in content(path) for form in wanted)]
    assert left_on(host, wanted) == ""
    host.run(["rm", "-rf", FILES])
