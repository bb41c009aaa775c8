"""Which files an app consists of, from its inputs; pure, so that a plan shows exactly what an apply writes."""

from __future__ import annotations

import os
from dataclasses import field
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from . import digest, hardening, scripts, unit_text
from .record import record

__all__ = ["Files", "Inputs", "files", "secrets_text"]

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DROPPED = ("LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
_SHELL_SPECIAL = '"\\$`'


@record(frozen=True)
class Inputs:
    """What an app's files are made of. `code`: a commit, or None; `configuration`: hashes of files by path.

    `control`: the program by which people start and stop it on its host. `home`: its user's; `hidden`: what it may not
    see; `minors` and `gpu_count`: as in hardening.py, with what it relaxes in `hardening`.
    """

    name: str
    environment: str
    link: str
    generation: str
    activation: Dict[str, str]
    command: Sequence[str]
    directory: str
    user: str
    port: Optional[int]
    gpus: Sequence[str]
    variables: Dict[str, str]
    secrets: Dict[str, str]
    secrets_path: str
    mounts: Sequence[str]
    health: Dict[str, Union[str, int, float]]
    code: Optional[str]
    configuration: Dict[str, str]
    key: bytes
    control: str = "systemctl"
    home: str = ""
    hidden: Sequence[str] = ()
    minors: Optional[Sequence[int]] = ()
    gpu_count: int = 0
    hardening: Dict[str, Any] = field(default_factory=dict)


@record(frozen=True)
class Files:
    """The texts, and the digest that the running process is to carry; `secrets` is None where there are none."""

    unit: str
    script: str
    secrets: Optional[str]
    digest: str


def files(inputs: Inputs) -> Files:
    """All files of an app."""
    variables, command = _variables(inputs), _command(inputs)
    secrets = secrets_text(inputs.secrets) if inputs.secrets else None
    unit = unit_text.render(_plan(inputs, variables, command))
    parts = {
        "generation": inputs.generation,
        "code": inputs.code or "",
        "unit": unit_text.without_facts(unit),
        "configuration": "\n".join("%s %s" % pair for pair in sorted(inputs.configuration.items())),
        "secrets": secrets or "",
    }
    carried = digest.digest(inputs.key, parts)
    return Files(unit_text.with_digest(unit, carried), _script(inputs, variables, command), secrets, carried)


def secrets_text(secrets: Dict[str, str]) -> str:
    """An EnvironmentFile that systemd and sh read alike."""
    return "".join('%s="%s"\n' % (key, _escaped(value)) for key, value in sorted(secrets.items()))


def _escaped(value: str) -> str:
    return "".join("\\" + character if character in _SHELL_SPECIAL else character for character in value)


def _variables(inputs: Inputs) -> Dict[str, str]:
    binaries = os.path.join(inputs.generation, "bin")
    base = {"PATH": "%s:%s" % (binaries, _PATH), "CONDA_PREFIX": inputs.generation}
    base["CONDA_DEFAULT_ENV"] = inputs.environment
    activation = {key: value for key, value in inputs.activation.items() if key not in _DROPPED}
    ours = {"PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    if list(inputs.gpus) != ["all"]:
        ours["CUDA_VISIBLE_DEVICES"] = ",".join(inputs.gpus)
    return {**base, **activation, **ours, **inputs.variables}


def _command(inputs: Inputs) -> List[str]:
    first, rest = inputs.command[0], list(inputs.command[1:])
    if "/" not in first:
        return [os.path.join(inputs.generation, "bin", first), *rest]
    return [os.path.normpath(os.path.join(inputs.directory, first)), *rest]


def _plan(inputs: Inputs, variables: Dict[str, str], command: List[str]) -> unit_text.UnitPlan:
    return unit_text.UnitPlan(
        name=inputs.name,
        command=command,
        directory=inputs.directory,
        user=inputs.user,
        variables=variables,
        unset=[name for name in _DROPPED if name not in variables],
        secrets_file=inputs.secrets_path if inputs.secrets else None,
        mounts=[inputs.directory, *inputs.mounts],
        confinement=hardening.lines(_confinement(inputs)),
        facts=_facts(inputs),
    )


def _confinement(inputs: Inputs) -> hardening.Confinement:
    paths = [path for path in (inputs.directory, *inputs.mounts, inputs.home) if path]
    return hardening.Confinement(
        user=inputs.user,
        paths=paths,
        hidden=inputs.hidden,
        minors=inputs.minors,
        count=inputs.gpu_count,
        relaxed=inputs.hardening,
    )


def _facts(inputs: Inputs) -> List[Tuple[str, str]]:
    health = inputs.health
    pairs: List[Tuple[str, object]] = [
        ("Environment", inputs.environment),
        ("Generation", inputs.generation),
        ("Port", inputs.port or ""),
        ("Path", health.get("path", "")),
        ("Expect", health.get("expect", 200)),
        ("StartTimeout", health.get("start_timeout", 300)),
        ("Interval", health.get("interval", 0.5)),
        ("Settle", health.get("settle", unit_text.SETTLE)),
    ]
    return [(key, str(value)) for key, value in pairs if value != ""]


def _script(inputs: Inputs, variables: Dict[str, str], command: List[str]) -> str:
    return scripts.render(
        name=inputs.name,
        link=inputs.link,
        command=command,
        variables=variables,
        directory=inputs.directory,
        logs=os.path.join(inputs.directory, "logs"),
        port=inputs.port,
        secrets_file=inputs.secrets_path if inputs.secrets else None,
        generation=inputs.generation,
        control=inputs.control,
    )
