"""Servers that run as apps: names, environments, ports, GPUs, and secrets by variables. Pure.

What a host says is checked here before it stands in a path or a name; nothing of it is ever rendered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from provision.adoption.survey import App, Environment, Left, Secret
from provision.printable import printable

__all__ = ["apps", "aside"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_GPU = re.compile(r"[A-Za-z0-9/-]+\Z")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?\Z")
_UNITS = ("ssh.service", "sshd.service", "cron.service", "crond.service")


def apps(seen: Mapping[str, Any], taken: Sequence[Environment]) -> Iterator[App | Left]:
    """Each server of a survey that a conda environment or a GPU makes a concern of ours, as an app or why not."""
    by_path = {str(one["real"]): environment for one in seen["environments"] for environment in taken
               if environment.path == one["path"]}  # fmt: skip
    names: set[str] = set()
    for server in seen["servers"]:
        if not _ours(server):
            continue
        environment = by_path.get(server["prefix"])
        reasons = list(_reasons(server, environment))
        if reasons or environment is None:
            yield _left(server, reasons)
            continue
        app = _app(server, environment, seen["devices"], names)
        yield app
        for name, value in server["harmful"].items():
            why = f"apps do not have it of themselves; it is {printable(str(value))}"
            mend = "install into the environment what that leads to, or write it under `variables`"
            yield Left(f"variable {name} of app `{app.name}`", why, mend)
        if seen["devices"] and server["visible"] is None and not app.gpus:
            why = "neither CUDA_VISIBLE_DEVICES nor nvidia-smi says which it uses"
            yield Left(f"GPUs of app `{app.name}`", why, "write them under `gpus` before it becomes a unit")


def aside(seen: Mapping[str, Any]) -> Iterator[str]:
    """Servers that are no concern of a playbook of ours, in words."""
    for server in seen["servers"]:
        if not _ours(server):
            ports = ", ".join(map(str, server["ports"])) or "none"
            yield printable(f"{PurePosixPath(server['program']).name or 'a process'} (port {ports})")


def _ours(server: Mapping[str, Any]) -> bool:
    """Whether Python or a GPU is in it: what listens beside these belongs to the system."""
    name = PurePosixPath(server["program"]).name
    return bool(server["prefix"] or server["used"] or name.startswith("python"))


def _reasons(server: Mapping[str, Any], environment: Environment | None) -> Iterator[tuple[str, str]]:
    """Why a server cannot be said as an app, each with its mend."""
    again = "start it again from a conda environment, and adopt again"
    program = printable(str(server["program"]))
    prefix = PurePosixPath(server["prefix"])
    if server["contained"]:
        yield f"`{program}` runs in a container", "keep its container, or start it from a conda environment of the host"
    elif not server["prefix"]:
        yield f"`{program}` belongs to no conda environment", again
    elif prefix.parent.name != "envs":
        yield f"`{printable(str(prefix))}`, which it runs in, is no environment below a folder `envs`", again
    elif environment is None:
        yield f"its environment `{printable(str(prefix))}` was not taken over", "mend that first"
    for at, (_, secret) in enumerate(server["words"]):
        if secret:
            yield (
                f"word {at + 1} of its command line is a secret ({printable(str(secret))})",
                "let it read that from a variable: a command line can be read by everybody on the host",
            )
    if len(server["ports"]) > 1:
        listed = ", ".join(map(str, server["ports"]))
        yield f"it listens on several ports ({listed}), an app says one", "write it by hand, with the port people use"
    texts = [server["directory"], *(text for text, _ in server["words"]), *server["variables"].values()]
    if any(_CONTROL.search(str(text)) for text in texts):
        yield "control characters stand in what it was started with", "start it again without them, and adopt again"
    if not all(_VARIABLE.match(str(name)) for name in (*server["variables"], *server["secrets"])):
        yield "a variable that it was started with has no usual name", "start it again without it, and adopt again"
    if not all(isinstance(port, int) for port in server["ports"]):
        yield "its ports are no numbers", "adopt again; where this comes again, write it by hand"
    if not str(server["directory"]).startswith("/") or str(server["directory"]).endswith(" (deleted)"):
        yield "its working directory is gone", again
    if not _USER.match(str(server["user"])):
        yield "the user that it runs as has no name", "create that user, and adopt again"


def _left(server: Mapping[str, Any], reasons: Sequence[tuple[str, str]]) -> Left:
    ports = "".join(f", port {port}" for port in server["ports"])
    words = " ".join(text if secret is None else f"{text}{{{{ {str(secret).lower()} }}}}" for text, secret in
                     server["words"])  # fmt: skip
    what = printable(f"process {server['pid']} `{words[:200]}`{ports}")
    return Left(what, "\n".join(why for why, _ in reasons), "\n".join(dict.fromkeys(mend for _, mend in reasons)))


def _app(
    server: Mapping[str, Any], environment: Environment, devices: Iterable[Mapping[str, Any]], names: set[str]
) -> App:
    name = _name(server, environment, names)
    return App(
        name=name,
        environment=environment,
        directory=str(server["directory"]),
        command=tuple(str(text) for text, _ in server["words"]),
        user=str(server["user"]),
        port=server["ports"][0] if server["ports"] else None,
        gpus=_gpus(server, devices),
        variables={str(key): str(value) for key, value in server["variables"].items()},
        secrets=tuple(Secret(str(key), _variable(name, str(key))) for key in server["secrets"]),
        pid=int(server["pid"]),
        started_by=str(server["started_by"]),
    )


def _gpus(server: Mapping[str, Any], devices: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """As CUDA_VISIBLE_DEVICES says; where that is not set, the GPUs that it computes on."""
    if server["visible"] is not None:
        return tuple(str(part) for part in server["visible"] if part != "-1" and _GPU.match(str(part)))
    index = {str(device["uuid"]): str(device["index"]) for device in devices}
    used = (index.get(str(uuid), str(uuid)) for uuid in server["used"])
    return tuple(sorted(gpu for gpu in used if _GPU.match(gpu)))


def _name(server: Mapping[str, Any], environment: Environment, names: set[str]) -> str:
    """The unit's name, else that of the directory, else that of the environment; each once."""
    unit = str(server["unit"]).removesuffix(".service") if server["unit"] not in ("", *_UNITS) else ""
    folder = PurePosixPath(server["directory"]).name
    own = next(filter(None, map(_plain, (unit, folder if folder != "root" else "", environment.name))), "app")
    if own in names and server["ports"]:
        own = f"{own}-{server['ports'][0]}"
    while own in names:
        own += "-2"
    names.add(own)
    return own


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[:48]


def _variable(app: str, name: str) -> str:
    return f"{re.sub(r'[^a-z0-9]', '_', app)}_{name.lower()}".lstrip("0123456789_")
