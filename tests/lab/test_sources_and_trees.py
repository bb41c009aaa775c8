"""Sources of packages, package files and upgrades with a real apt; users with passwords; both against one lab host."""

from __future__ import annotations

import pytest
from on_host import OnHost

from provision.lab import debs, inventory
from provision.lab.fleet import Lab

pytestmark = pytest.mark.lab

OLD, NEW = debs.VERSIONS
NAME = "libnvidia-compute-535"


@pytest.fixture(scope="module")
def agent(lab: Lab) -> OnHost:
    return OnHost(lab.hosts[2])


def test_sources_bring_packages_that_are_kept_up(lab: Lab, agent: OnHost) -> None:
    host, url = agent.host, inventory.url(lab.record, "apt/")
    listed = host.root / "etc/apt/sources.list"
    kept = listed.read_text() if listed.exists() else ""
    host.run(["sh", "-c", "rm -f /etc/apt/sources.list"])
    line = {"repo": f"deb [trusted=yes] {url} ./", "filename": "lab"}
    source = ("deb822_repository", {"name": "Lab source", "uris": url, "suites": "./", "trusted": True})
    try:
        added = agent.converge(("apt_repository", line))[0]
        assert (added.error, added.done) == (
            None,
            ["create /etc/apt/sources.list.d/lab.list", "fetch package lists"],
        )
        assert agent.converge(("apt_repository", line))[0].actions == []
        removed, made, again = agent.converge(
            ("apt_repository", {**line, "state": "absent", "update_cache": False}), source, source
        )
        assert [removed.done, made.done, again.done] == [
            ["remove /etc/apt/sources.list.d/lab.list"],
            ["create /etc/apt/sources.list.d/lab-source.sources"],
            [],
        ]
        old, held, latest, right = agent.converge(
            ("package", {"name": f"{NAME}={OLD}*", "update_cache": True}),
            ("dpkg_selections", {"name": NAME, "selection": "install"}),
            ("package", {"name": NAME, "state": "latest"}),
            ("package", {"name": NAME, "state": "latest"}),
        )
        assert [step.error for step in (old, held, latest, right)] == [None] * 4
        assert (held.actions, latest.done, right.actions) == ([], [f"install {NAME}"], [])
        assert latest.fields["versions"] == {NAME: f"{NEW}-0lab1"}
        host.run(["sh", "-c", f"cd /tmp && apt-get download {NAME}={OLD}-0lab1"])
        file = {"deb": f"/tmp/{NAME}_{OLD}-0lab1_all.deb", "allow_downgrade": True}
        back, done, gone = agent.converge(
            ("package", file), ("package", file), ("package", {"name": NAME, "state": "absent", "purge": True})
        )
        assert [step.error for step in (back, done, gone)] == [None] * 3
        assert (back.done, done.actions, gone.done) == ([f"install {NAME}"], [], [f"remove {NAME}"])
    finally:
        agent.converge((source[0], {**source[1], "state": "absent"}))
        if kept:
            host.run(["sh", "-c", "cat > /etc/apt/sources.list"], stdin=kept)


def test_a_password_is_set_once_locked_and_the_account_expires(agent: OnHost) -> None:
    spec = {"name": "guest", "password": "$6$salt$hash", "expires": 1924992000.0}
    made, again, locked, gone = agent.converge(
        ("user", spec),
        ("user", spec),
        ("user", {**spec, "password_lock": True}),
        ("user", {"name": "guest", "state": "absent", "remove": True, "delete_data": True}),
    )
    assert [step.error for step in (made, again, locked, gone)] == [None] * 4
    assert made.done == ["create user guest", "change password of guest"]
    assert (again.actions, locked.done, gone.done) == ([], ["change password of guest"], ["remove user guest"])
    assert "salt" not in str([made.actions, locked.actions])
    assert not (agent.host.root / "home/guest").exists()
