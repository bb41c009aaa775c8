"""Settings of a whole host where they need no host: what `sysctl` decides, crontabs through a program of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from resource_parts import done, verbs

from provision.agent import fstab
from provision.agent.edited import Edited
from provision.agent.resource import Refusal
from provision.agent.resources import load

PARAMETER = "kernel.pid_max"


def _decided(text: str | None, now: str | None, **options: Any) -> list[tuple[str, str]]:
    module = load("sysctl")
    spec = module.Spec(**{"name": "vm.swappiness", "value": "10", "sysctl_file": "/etc/sysctl.d/60.conf", **options})
    state = module.State(Edited("/etc/sysctl.d/60.conf", text), now)
    return [
        (action.verb.word, " ".join(action.arguments.get("argv", [action.after])))
        for action in module.decide(spec, state)
    ]


@pytest.mark.parametrize(
    ("text", "now", "options", "expected"),
    [
        (None, "60", {}, [("create", "vm.swappiness=10\n"), ("change", "sysctl -p /etc/sysctl.d/60.conf")]),
        ("vm.swappiness = 10\n", "10", {}, []),
        ("vm.swappiness=10\n", "60", {}, [("change", "sysctl -p /etc/sysctl.d/60.conf")]),
        ("vm.swappiness=10\n", "60", {"reload": False}, []),
        (
            "a=1\nvm.swappiness=9\nvm.swappiness=8",
            "60",
            {"sysctl_set": True, "reload": False},
            [("change", "sysctl -w vm.swappiness=10"), ("change", "a=1\nvm.swappiness=10\n")],
        ),
        (
            "vm.swappiness=9\n# mine\n",
            "60",
            {"state": "absent"},
            [("change", "# mine\n"), ("reload", "sysctl -p /etc/sysctl.d/60.conf")],
        ),
        ("vm.swappiness=10\n", None, {"ignoreerrors": True}, []),
        ("vm.swappiness=1\n", "1", {"value": True}, []),
        ("vm.swappiness=4096 8192\n", "4096\t8192", {"value": "4096 8192"}, []),
    ],
)
def test_a_parameter_is_written_and_set_only_where_it_differs(
    text: str | None, now: str | None, options: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert _decided(text, now, **options) == expected


def test_a_parameter_is_read_from_the_kernel(tmp_path: Path) -> None:
    now = Path("/proc/sys/kernel/pid_max").read_text().strip()
    spec = {"name": PARAMETER, "value": now, "sysctl_file": str(tmp_path / "f"), "reload": False, "mode": "0600"}
    outcome = done("sysctl", spec)
    assert (verbs(outcome), outcome.fields["value"]) == ([f"create {tmp_path}/f"], now)
    assert (tmp_path / "f").read_text() == f"{PARAMETER}={now}\n"
    assert verbs(done("sysctl", spec)) == []


@pytest.fixture
def path_with_crontab(tmp_path: Path) -> dict[str, str]:
    program = tmp_path / "bin/crontab"
    program.parent.mkdir()
    lines = [
        "#!/bin/sh",
        f"here={tmp_path}",
        '[ "$1" = -u ] && shift 2',
        'if [ "$1" = -l ]; then',
        '  [ -e $here/tab ] || { echo "no crontab for root" >&2; exit 1; }',
        "  cat $here/tab; exit",
        "fi",
        "cat > $here/new",
        "if grep -q bad $here/new; then echo '\"-\":1: bad minute' >&2; exit 1; fi",
        "mv $here/new $here/tab",
    ]
    program.write_text("\n".join(lines) + "\n")
    program.chmod(0o755)
    return {"PATH": f"{program.parent}:/usr/bin:/bin"}


def test_a_users_crontab_is_kept_by_its_program(tmp_path: Path, path_with_crontab: dict[str, str]) -> None:
    spec = {"name": "tidy", "minute": "*/5", "job": "true", "user": "daemon"}
    planned = done("cron", spec, check=True, environment=path_with_crontab)
    assert not (tmp_path / "tab").exists()
    made = done("cron", spec, environment=path_with_crontab)
    assert verbs(planned) == verbs(made) == ["create crontab of daemon"]
    assert made.fields["jobs"] == ["tidy"]
    assert (tmp_path / "tab").read_text() == "#Ansible: tidy\n*/5 * * * * true\n"
    assert verbs(done("cron", spec, environment=path_with_crontab)) == []
    with pytest.raises(Refusal) as refused:
        done("cron", {**spec, "minute": "bad"}, environment=path_with_crontab)
    assert (refused.value.summary, refused.value.cause) == ("`crontab` does not take the job", '"-":1: bad minute')
    gone = done("cron", {"name": "tidy", "state": "absent", "backup": True}, environment=path_with_crontab)
    assert (tmp_path / "tab").read_text() == ""
    assert Path(gone.fields["backup_file"]).read_text() == "#Ansible: tidy\n*/5 * * * * true\n"


def test_a_check_knows_that_cron_would_be_installed() -> None:
    spec, nowhere = {"name": "tidy", "job": "true"}, {"PATH": "/nonexistent"}
    planned = done("cron", spec, check=True, environment=nowhere, pending={"cron, git"})
    assert verbs(planned) == ["create crontab"]
    with pytest.raises(Refusal) as refused:
        done("cron", spec, check=True, environment=nowhere, pending={"git"})
    assert refused.value.summary == "cannot run `crontab`"


def test_rows_of_fstab_survive_what_is_odd() -> None:
    row = fstab.Row("//nas/my share", "/my data", "cifs", "ro")
    text = "# c\n\nproc /proc proc defaults\n"
    once = fstab.with_row(text, row)
    assert once == text + "//nas/my\\040share /my\\040data cifs ro 0 0\n"
    assert fstab.with_row(once, row) == once and fstab.find(once, row) == row
    assert fstab.removed(once, row) == text
    swap = fstab.Row("/swap", "none", "swap", "sw")
    both = fstab.with_row(fstab.with_row(once, swap), fstab.Row("/other", "none", "swap", "sw"))
    assert fstab.removed(both, swap).count("swap") == 1
