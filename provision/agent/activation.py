"""What activating an environment sets, computed once: `conda-meta/state`, then the packages' activate.d scripts.

Runs the scripts as an activated shell would, in a clean environment; must not be needed at an app's start. What is in
an environment that somebody else made runs as that user, never as root.
"""

from __future__ import annotations

import json
import os
from typing import Dict, List, Optional

from .resource import Refusal
from .system import CLEAN_PATH, System

__all__ = ["compute", "stranger"]

_OF_THE_SHELL = ("PWD", "OLDPWD", "SHLVL", "_", "IFS", "PS1", "PS2", "PS4", "OPTIND", "PPID")


def compute(system: System, name: str, path: str) -> Dict[str, str]:
    """The variables of an activated shell; PATH begins with the prefix. Refusal when a script fails."""
    before = {
        "PATH": os.path.join(path, "bin") + ":" + CLEAN_PATH,
        "CONDA_PREFIX": path,
        "CONDA_DEFAULT_ENV": name,
        "CONDA_SHLVL": "1",
        **_state(system, path),
    }
    scripts = _scripts(path)
    return _sourced(system, name, path, before, scripts) if scripts else before


def _state(system: System, path: str) -> Dict[str, str]:
    """What `conda env config vars set` and packages' `etc/conda/env_vars.d` say."""
    found: Dict[str, str] = {}
    folder = os.path.join(path, "etc", "conda", "env_vars.d")
    files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for file in [os.path.join(folder, entry) for entry in files if entry.endswith(".json")]:
        found.update(json.loads(system.read(file)))
    state = os.path.join(path, "conda-meta", "state")
    if system.lstat(state) is not None:
        found.update(json.loads(system.read(state)).get("env_vars", {}))
    return {key: str(value) for key, value in found.items() if value != "***unset***"}


def _scripts(path: str) -> List[str]:
    folder = os.path.join(path, "etc", "conda", "activate.d")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, script) for script in names if script.endswith(".sh")]


def stranger(paths: List[str]) -> Optional[str]:
    """The user but root whose one of these is, who is to run what is there; None where all is ours to run."""
    import pwd

    owner = next((uid for uid in (os.stat(path).st_uid for path in paths) if uid), 0)
    if os.geteuid() != 0 or owner == 0:
        return None
    try:
        return pwd.getpwuid(owner).pw_name
    except KeyError:
        return "nobody"


def _sourced(system: System, name: str, path: str, before: Dict[str, str], scripts: List[str]) -> Dict[str, str]:
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    text = 'for script; do . "$script" >/dev/null </dev/null || echo "$script" >&2; done; exec env -0'
    argv = [shell, "-c", text, "activate", *scripts]
    ended = system.run(
        argv, timeout=60.0, environment=before, directory="/", user=stranger([path, os.path.dirname(scripts[0])])
    )
    if ended.returncode or ended.timed_out:
        raise Refusal(
            "cannot activate `%s`" % name,
            "its activate.d scripts %s: %s"
            % ("did not end within 60 s" if ended.timed_out else "failed", ended.stderr.strip()[-500:]),
            "see %s" % os.path.join(path, "etc", "conda", "activate.d"),
        )
    pairs = (entry.partition("=") for entry in ended.stdout.split("\0") if "=" in entry)
    after = {key: value for key, _, value in pairs if key not in _OF_THE_SHELL and not key.startswith("BASH_FUNC_")}
    clean = ("HOME", "LANG", "USER", "LOGNAME", "SHELL", "TERM")
    return {key: value for key, value in after.items() if key in before or key not in clean}
