"""Where and as whom each host is reached: from its inventory variables and the command line to a `Target`.

Must not connect, and must not read ssh_config; that is the transport's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from provision.agent.record import record
from provision.errors import Mark, ProvisionError
from provision.transport import Target
from provision.transport.ssh_directives import parse_ssh_arguments

__all__ = ["Login", "target"]


@record(frozen=True, slots=True)
class Login:
    """What the command line and the play say of logging in; inventory variables win over a play's, flags over none."""

    user: str | None = None
    connection: str | None = None
    private_key: str | None = None
    password: str | None = None
    become: bool = False
    become_user: str | None = None
    become_method: str | None = None
    become_password: str | None = None
    connect_timeout: float = 10.0


def target(name: str, variables: Mapping[str, Any], login: Login, known_hosts: Sequence[Path]) -> Target:
    """The target of one host; raises ProvisionError for a value that is of no use.

    `variables` are the host's, rendered on access; names and precedence are Ansible's connection variables.
    """
    connection = str(variables.get("ansible_connection", login.connection or "ssh"))
    if connection not in ("ssh", "local"):
        raise ProvisionError(
            f"`{name}` has the connection `{connection}`, which is not supported",
            where=_mark(variables, "ansible_connection"),
            hint="ansible_connection is `ssh` or `local`",
        )
    return Target(
        name=name,
        address=_name(name, variables, "ansible_host", str(variables.get("ansible_host", name))),
        port=_port(name, variables),
        user=_user(name, variables, login),
        connection=connection,
        private_key_file=_text(variables.get("ansible_ssh_private_key_file", login.private_key)),
        password=_text(variables.get("ansible_password", variables.get("ansible_ssh_pass", login.password))),
        ssh_arguments=_ssh_arguments(variables),
        known_hosts=tuple(str(path) for path in known_hosts),
        become=login.become or bool(variables.get("ansible_become", False)),
        become_user=_name(
            name,
            variables,
            "ansible_become_user",
            str(variables.get("ansible_become_user", login.become_user or "root")),
        ),
        become_method=str(variables.get("ansible_become_method", login.become_method or "sudo")),
        become_password=_text(
            variables.get("ansible_become_password", variables.get("ansible_become_pass", login.become_password))
        ),
        python=_python(name, variables),
        connect_timeout=float(variables.get("ansible_timeout", login.connect_timeout)),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _user(name: str, variables: Mapping[str, Any], login: Login) -> str | None:
    user = variables.get("ansible_user", variables.get("ansible_ssh_user", login.user))
    return None if user is None else _name(name, variables, "ansible_user", str(user))


def _python(name: str, variables: Mapping[str, Any]) -> str:
    """A program that the host's shell starts: not an option, and nothing that hides in a line."""
    python = str(variables.get("ansible_python_interpreter", "python3"))
    if not python or python.startswith("-") or not python.isprintable():
        raise ProvisionError(
            f"`{name}` has an ansible_python_interpreter that is no program: {python!r}",
            where=_mark(variables, "ansible_python_interpreter"),
            hint="it is a name or a path, such as /usr/bin/python3.11",
        )
    return python


def _name(host: str, variables: Mapping[str, Any], variable: str, value: str) -> str:
    if not value or value.startswith("-") or not value.isprintable() or any(c.isspace() for c in value):
        raise ProvisionError(
            f"`{host}` has an {variable} that is no name: {value!r}",
            where=_mark(variables, variable),
            cause="names of hosts and users start with a letter or digit and hold no spaces or control characters",
        )
    return value


def _port(host: str, variables: Mapping[str, Any]) -> int | None:
    port = variables.get("ansible_port", variables.get("ansible_ssh_port"))
    if port is None:
        return None
    if not str(port).isdigit() or not 0 < int(port) < 65536:
        raise ProvisionError(f"`{host}` has the port `{port}`", cause="a port is a number from 1 to 65535")
    return int(port)


def _ssh_arguments(variables: Mapping[str, Any]) -> tuple[str, ...]:
    text = " ".join(
        str(variables[key]) for key in ("ansible_ssh_common_args", "ansible_ssh_extra_args") if variables.get(key)
    )
    return parse_ssh_arguments(text, _mark(variables, "ansible_ssh_common_args"))


def _mark(variables: Mapping[str, Any], key: str) -> Mark | None:
    return getattr(variables.get(key), "mark", None)
