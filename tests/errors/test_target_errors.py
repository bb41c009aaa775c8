"""What an operator reads when a host's connection variables hold what is no name of a host, user or program."""

from __future__ import annotations

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.errors import Mark, ProvisionError
from provision.source import Template
from provision.target import Login, target


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ansible_host", "-oProxyCommand=touch /tmp/x"),
        ("ansible_host", "10.0.0.1\n"),
        ("ansible_user", "-l"),
        ("ansible_user", "root\x1b[2J"),
        ("ansible_user", "ro\u202eot"),
        ("ansible_become_user", "-s"),
        ("ansible_python_interpreter", "-a python3"),
        ("ansible_python_interpreter", "python3\nreboot"),
    ],
)
def test_a_name_that_is_none_is_refused_before_any_connection(
    variable: str, value: str, snapshot: SnapshotAssertion
) -> None:
    said = Template(value, Mark("inventory.yaml", 4, 7), value)
    with pytest.raises(ProvisionError) as refused:
        target("gpu-01", {variable: said}, Login(), ())
    assert str(refused.value) == snapshot
