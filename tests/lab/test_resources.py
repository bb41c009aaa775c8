"""Resources that change a whole host, on a real one: accounts, services, packages' tools."""

from __future__ import annotations

import pytest
from on_host import OnHost

from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def agent(lab: Lab) -> OnHost:
    return OnHost(lab.hosts[1])


def test_accounts_come_change_and_go(agent: OnHost) -> None:
    group = ("group", {"name": "renderers", "gid": 2345})
    user = ("user", {"name": "artist", "uid": 2346, "group": "renderers", "groups": "audio", "shell": "/bin/sh"})
    made = agent.converge(group, user)
    assert [outcome.error for outcome in made] == [None, None]
    assert [outcome.done for outcome in made] == [["create group renderers"], ["create user artist"]]
    assert [outcome.actions for outcome in agent.converge(group, user)] == [[], []]
    assert (
        agent.host.run(["id", "artist"]).stdout
        == "uid=2346(artist) gid=2345(renderers) groups=2345(renderers),29(audio)\n"
    )
    changed = agent.converge(("user", {"name": "artist", "groups": ["video"], "append": True, "comment": "An artist"}))[
        0
    ]
    assert (changed.error, changed.done) == (None, ["change user artist"])
    agent.host.run(["touch", "/home/artist/kept"])
    gone = agent.converge(
        ("user", {"name": "artist", "state": "absent"}), ("group", {"name": "renderers", "state": "absent"})
    )
    assert [outcome.error for outcome in gone] == [None, None]
    assert agent.host.run(["ls", "/home/artist"]).stdout == "kept\n"


def test_a_service_is_started_enabled_restarted_and_stopped(agent: OnHost) -> None:
    unit = "[Service]\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=multi-user.target\n"
    on = ("service", {"name": "sleeper", "state": "started", "enabled": True, "daemon_reload": True})
    file = ("file", {"path": "/etc/systemd/system/sleeper.service", "content": unit})
    planned = agent.converge(file, on, check=True)
    assert planned[1].error is None
    made = agent.converge(file, on)
    assert [outcome.error for outcome in made] == [None, None]
    assert made[1].done == ["enable sleeper.service", "start sleeper.service"]
    assert agent.converge(on)[0].actions == []
    first = agent.converge(on)[0].fields["status"]["MainPID"]
    again = agent.converge(("service", {"name": "sleeper", "state": "restarted"}))[0]
    assert again.done == ["restart sleeper.service"] and again.fields["status"]["MainPID"] != first
    off = agent.converge(("service", {"name": "sleeper", "state": "stopped", "enabled": False}))[0]
    assert (off.error, off.fields["state"], off.fields["enabled"]) == (None, "stopped", False)


def test_a_service_that_fails_shows_its_last_words(agent: OnHost) -> None:
    unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo no licence; exit 3'\n"
    failed = agent.converge(
        ("file", {"path": "/etc/systemd/system/failing.service", "content": unit}),
        ("service", {"name": "failing", "state": "started"}),
    )[1]
    assert failed.error is not None
    assert failed.error["summary"] == "`systemctl start` failed for `failing.service`"
    assert "no licence" in failed.error["cause"]


def test_packages_are_asked_for_and_a_failed_installation_is_told(agent: OnHost) -> None:
    there, lacking = agent.converge(("package", {"name": "git"}), ("package", {"name": "no-such-package"}))
    assert (there.error, there.actions) == (None, [])
    assert lacking.error is not None
    assert lacking.error["summary"] == "`apt-get install` failed"
    assert "no-such-package" in lacking.error["cause"]
