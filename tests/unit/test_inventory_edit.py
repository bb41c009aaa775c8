"""Hosts come into the text of an inventory and go out of it; everything else stays as it is, to the letter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from syrupy.assertion import SnapshotAssertion

from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.onboarding.inventory_edit import add_host, has_host, remove_host

TEXT = """\
# Our fleet.
all:
  vars:
    ansible_user: 'ops'   # not root

  children:
    gpu:
      children:
        # the quiet room
        a100:
          hosts:
            # first rack
            a100-01:

            a100-02:            # noisy
              ansible_host: "10.0.0.2"
              # its BMC is 10.1.0.2
              note: |
                two
                lines

            # second rack
            a100-03: {ansible_port: 2222}
          vars:
            nvidia_min_count: 8
        t4:
          hosts:
            t4-[01:12]:         # all in one room
            "t4-[20:21]":
    rented:
      hosts:
        rented-1:2222:
        a100-02:
"""


def without(text: str, *gone: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not any(part in line for part in gone))


def test_a_host_goes_with_its_variables_from_all_groups() -> None:
    body = ("a100-02:", "10.0.0.2", "its BMC", "note: |", "two", "lines")
    assert remove_host(TEXT, "a100-02") == without(TEXT, *body)


def test_comments_above_a_host_stay() -> None:
    assert remove_host(TEXT, "a100-01") == without(TEXT, "a100-01:")
    assert remove_host(TEXT, "a100-03") == without(TEXT, "a100-03:")


def test_a_host_with_a_port_in_its_name_is_found() -> None:
    assert remove_host(TEXT, "rented-1") == without(TEXT, "rented-1:")


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("t4-01", "t4-[01:12]:         # all", "t4-[02:12]:         # all"),
        ("t4-12", "t4-[01:12]:         # all", "t4-[01:11]:         # all"),
        ("t4-02", "            t4-[01:12]:         # all in one room\n",
         "            t4-01:         # all in one room\n            t4-[03:12]:\n"),
        ("t4-20", '"t4-[20:21]":', '"t4-21":'),
    ],
)  # fmt: skip
def test_a_range_is_split_around_a_host(name: str, before: str, after: str) -> None:
    assert remove_host(TEXT, name) == TEXT.replace(before, after)


def test_a_host_joins_a_group_as_its_last_one() -> None:
    new = "            a100-04:\n              ansible_host: 10.0.0.4\n              ansible_port: 2222\n"
    expected = TEXT.replace(
        "            a100-03: {ansible_port: 2222}\n", f"            a100-03: {{ansible_port: 2222}}\n{new}"
    )
    variables = {"ansible_host": "10.0.0.4", "ansible_port": 2222}
    assert add_host(TEXT, "a100-04", group="a100", variables=variables) == expected
    assert add_host(expected, "a100-04", group="a100") == expected


def test_a_member_of_a_range_is_there_already() -> None:
    assert add_host(TEXT, "t4-07", group="t4") == TEXT
    assert has_host(TEXT, "t4-07") and not has_host(TEXT, "t4-13")


def test_a_new_group_comes_below_all() -> None:
    text = add_host(TEXT, "h100-01", group="h100")
    assert text == TEXT + "    h100:\n      hosts:\n        h100-01:\n"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("", "all:\n  children:\n    gpu:\n      hosts:\n        new:\n"),
        ("# nothing yet\n", "# nothing yet\nall:\n  children:\n    gpu:\n      hosts:\n        new:\n"),
        ("all:\n", "all:\n  children:\n    gpu:\n      hosts:\n        new:\n"),
        ("all:\n vars:\n  a: 1", "all:\n vars:\n  a: 1\n children:\n  gpu:\n   hosts:\n    new:\n"),
        ("web:\n  hosts:\n    w1:\n", "web:\n  hosts:\n    w1:\ngpu:\n  hosts:\n    new:\n"),
        ("gpu:\n  hosts: {}  # none\n", "gpu:\n  hosts:  # none\n    new:\n"),
        ("gpu:\n  hosts: {}\n  vars: {a: 1}\n", "gpu:\n  hosts:\n    new:\n  vars: {a: 1}\n"),
        ("gpu:\n  hosts:\n# end\n", "gpu:\n  hosts:\n    new:\n# end\n"),
        ("gpu:\n  vars:\n    a: 1\n\n# end\n", "gpu:\n  vars:\n    a: 1\n  hosts:\n    new:\n\n# end\n"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_made(text: str, after: str) -> None:
    assert add_host(text, "new", group="gpu") == after


def test_added_and_removed_leaves_the_text_as_it_was() -> None:
    for group in ("a100", "rented", "t4"):
        added = add_host(TEXT, "new", group=group, variables={"ansible_host": "10.0.0.9"})
        assert remove_host(added, "new") == TEXT


NAMES = some.lists(some.from_regex(r"[a-z]{1,3}-[0-9]{1,2}", fullmatch=True), min_size=1, max_size=6, unique=True)
COMMENTS = some.sampled_from(["", "  # a word", "\n\n        # a line of its own", "\n"])


@given(names=NAMES, comments=some.lists(COMMENTS, min_size=6, max_size=6), at=some.integers(0, 5))
def test_the_others_stay_to_the_letter(names: list[str], comments: list[str], at: int) -> None:
    lines = [f"        {name}:{comment}\n" for name, comment in zip(names, comments, strict=False)]
    text = "all:\n  children:\n    gpu:\n      hosts:\n" + "".join(lines) + "      vars:\n        a: 'b'\n"
    gone = names[at % len(names)]
    left = remove_host(text, gone)
    assert not has_host(left, gone)
    assert all(has_host(left, name) for name in names if name != gone)
    kept = [line for line in text.splitlines() if f" {gone}:" not in line]
    assert left.splitlines() == kept


def test_what_is_read_afterwards_is_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(add_host(remove_host(TEXT, "t4-03"), "t4-40", group="t4", variables={"ansible_host": "yes"}))
    inventory = load_inventory([path])
    assert inventory.members["t4"] == [f"t4-{n:02}" for n in (*range(1, 3), *range(4, 13), 20, 21, 40)]
    assert inventory.variables("t4-40")["ansible_host"] == "yes"
    assert inventory.variables("t4-40")["ansible_user"] == "ops"


REFUSED = {
    "not there": ("all:\n  hosts:\n    a:\n", "b"),
    "range with variables": ("all:\n  hosts:\n    g[1:4]:\n      x: 1\n", "g2"),
    "range by steps": ("all:\n  hosts:\n    g[0:8:2]:\n", "g2"),
    "one line": ("all:\n  hosts: {a: , b: }\n", "a"),
    "anchor": ("all:\n  hosts:\n    a: &a\n      x: 1\n    b: *a\n", "a"),
    "no YAML": ("all:\n  hosts: [\n", "a"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_removed_is_refused(case: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as error:
        remove_host(*REFUSED[case])
    assert str(error.value) == snapshot


def test_hosts_on_one_line_take_no_other(snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ProvisionError) as error:
        add_host("all:\n  hosts: {a: , b: }\n", "c")
    assert str(error.value) == snapshot
