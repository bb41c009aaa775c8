"""The original in a process of its own that answers JSON over pipes, and where it is installed.

Owns that process. Must not know what is asked.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SECONDS = 900


def interpreter() -> Path:
    """The Python that has ansible-core: `$PROVISION_ORACLE` names its virtual environment, else `.venv-oracle`."""
    return Path(os.environ.get("PROVISION_ORACLE") or ROOT / ".venv-oracle") / "bin" / "python"


class Oracle:
    """One long-lived process with ansible-core in it; what it keeps (sockets, temporary files) is below `home`."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        settings = home / "ansible.cfg"
        settings.write_text(SETTINGS)
        self.log = home / "oracle.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        environment = kept | {"ANSIBLE_CONFIG": str(settings), "ANSIBLE_HOME": str(home), "LC_ALL": "C.UTF-8"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [interpreter(), HERE / "oracle_driver.py"],
                cwd=home,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ask(self, kind: str, **question: Any) -> dict[str, Any]:
        """The answer to one question; AssertionError with what the original printed where it gave none."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps({"kind": kind, **question}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, f"the oracle died:\n{self.log.read_text()[-4000:]}"
        answer: dict[str, Any] = json.loads(line)
        assert "trace" not in answer, answer["trace"]
        return answer

    def close(self) -> None:
        """End the process."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.wait(60)
        if self.process.stdout is not None:
            self.process.stdout.close()


SETTINGS = """\
[defaults]
host_key_checking = False
retry_files_enabled = False
localhost_warning = False
nocows = True
interpreter_python = /usr/bin/python3
stdout_callback = ansible.builtin.minimal
forks = 8
timeout = 60
[ssh_connection]
pipelining = True
"""
