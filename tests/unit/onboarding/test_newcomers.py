"""Names and entries of hosts that join: what is written, where, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.onboarding.newcomers import Asked, Newcomer, default_group, newcomers, parse_host, with_hosts

TEXT = """\
# our fleet
all:
  vars:
    ansible_user: ops   # everywhere
  children:
    gpu:
      hosts:
        gpu-01:
          ansible_host: 10.0.0.1   # rack 3
        gpu-02:
          ansible_host: gpu-02.example.com
          ansible_port: 2222
    rented:
      vars: {ansible_port: 2222}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yaml"
    path.write_text(TEXT)
    return path


def gpu() -> str:
    return "gpu"


def joined(file: Path, *hosts: str, name: str | None = None, group: str | None = None) -> list[Newcomer]:
    return newcomers(hosts, load_inventory([file]), name=name, group=group, default=gpu)


def written(file: Path, one: Newcomer, user: str | None = None, key: str | None = None) -> str:
    edits, after = with_hosts(load_inventory([file]), [one], user=user, key=key)
    assert one.name in after.hosts
    assert file.read_text() == TEXT
    return edits[0].after if edits else TEXT


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("10.0.0.9", Asked("10.0.0.9")),
        ("root@gpu-09.example.com:2222", Asked("gpu-09.example.com", "root", 2222)),
        ("a.b@c@gpu", None),
        ("root@[2001:db8::9]:22", Asked("2001:db8::9", "root", 22)),
        ("[2001:db8::9]", Asked("2001:db8::9")),
        ("2001:db8::9", None),
        ("-oProxyCommand=x", None),
        ("gpu:0", None),
        ("gpu:65536", None),
        ("", None),
    ],
)
def test_what_is_a_host(text: str, wanted: Asked | None) -> None:
    if wanted is not None:
        assert parse_host(text) == wanted
        return
    with pytest.raises(ProvisionError):
        parse_host(text)


def test_an_entry_says_only_what_is_not_inherited(file: Path) -> None:
    (one,) = joined(file, "ops@gpu-09.example.com")
    assert written(file, one) == TEXT.replace(
        "    rented:\n", "        gpu-09:\n          ansible_host: gpu-09.example.com\n    rented:\n"
    )


def test_everything_that_differs_is_written(file: Path) -> None:
    (one,) = joined(file, "10.0.0.9:22", name="gpu-09", group="rented")
    text = written(file, one, user="root", key="~/.ssh/rented")
    lines = [
        *("      hosts:", "        gpu-09:", "          ansible_host: 10.0.0.9", "          ansible_port: 22"),
        *("          ansible_user: root", '          ansible_ssh_private_key_file: "~/.ssh/rented"'),
    ]
    assert text == TEXT + "\n".join(lines) + "\n"


def test_a_new_group_is_made_where_it_is_meant(file: Path) -> None:
    (one,) = joined(file, "10.0.0.9", group="blackwell")
    assert written(file, one) == TEXT + "    blackwell:\n      hosts:\n        10.0.0.9:\n"


@pytest.mark.parametrize("text", ["gpu-02", "gpu-02.example.com:2222", "ops@10.0.0.1"])
def test_one_that_is_there_stays_as_it_is(file: Path, text: str) -> None:
    (one,) = joined(file, text)
    assert one.there
    assert written(file, one, user="root", key="~/.ssh/other") == TEXT


def test_one_that_is_there_may_join_another_group(file: Path) -> None:
    (one,) = joined(file, "10.0.0.1", group="rented")
    assert written(file, one) == TEXT + "      hosts:\n        gpu-01:\n"


def test_several_at_once(file: Path) -> None:
    edits, after = with_hosts(load_inventory([file]), joined(file, "a", "b"), user=None, key=None)
    assert [edit.path for edit in edits] == [file]
    assert list(after.hosts)[-2:] == ["a", "b"]
    assert after.variables("b")["ansible_user"] == "ops"


def test_the_group_of_the_plays(file: Path) -> None:
    inventory = load_inventory([file])
    assert default_group(["localhost", "gpu", "gpu"], inventory) == "gpu"
    assert default_group(["all"], inventory) == "all"


def test_it_lies_in_the_file_that_has_the_group(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("web:\n  hosts:\n    web-01:\n")
    (tmp_path / "b.yaml").write_text("gpu:\n  hosts:\n    gpu-01:\n")
    edits, _ = with_hosts(load_inventory([tmp_path]), joined(tmp_path, "gpu-02"), user=None, key=None)
    assert [(edit.path.name, edit.after) for edit in edits] == [
        ("b.yaml", "gpu:\n  hosts:\n    gpu-01:\n    gpu-02:\n")
    ]


@pytest.mark.parametrize(
    ("hosts", "name", "group"),
    [
        (["a", "b"], "c", None),
        (["gpu-09.a.example", "gpu-09.b.example"], None, None),
        (["10.0.0.9"], "gpu-01", None),
        (["10.0.0.1"], "gpu-09", None),
        (["gpu-02:22"], None, None),
        (["root@gpu-02"], None, None),
        (["10.0.0.9"], "no name", None),
        (["10.0.0.9"], "gpu", None),
        (["10.0.0.9"], None, "rentd"),
        (["10.0.0.9"], None, "no group"),
        (["2001:db8::9"], None, None),
    ],
    ids=[
        *("name for two", "same short name", "name taken", "address taken", "other port", "other user", "no name"),
        *("name of a group", "slip in a group", "no group", "address without brackets"),
    ],
)
def test_what_is_refused(
    file: Path, hosts: list[str], name: str | None, group: str | None, snapshot: SnapshotAssertion
) -> None:
    with pytest.raises(ProvisionError) as error:
        joined(file, *hosts, name=name, group=group)
    assert str(error.value).replace(str(file), "inventory.yaml") == snapshot


@pytest.mark.parametrize("patterns", [["gpu", "web"], ["gpu:!gpu-01"]])
def test_plays_for_more_than_a_group(file: Path, patterns: list[str], snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as error:
        default_group(patterns, load_inventory([file]))
    assert str(error.value) == snapshot
