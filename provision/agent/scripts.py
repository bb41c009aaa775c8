"""The text of `start_<app>.sh`, with which people start an app by hand; pure."""

from __future__ import annotations

from typing import Dict, Optional, Sequence

__all__ = ["render"]

_TEMPLATE = """#!/bin/sh
# Made by provision; the next apply overwrites changes.
# Starts {name} in the foreground as its unit does; the service itself is `{control} start {name}`.
set -eu
link={link}
prefix=$(readlink -f "$link") || {{ echo "$link does not exist: the environment is not installed" >&2; exit 1; }}
[ -x "$prefix/bin/python" ] || {{ echo "$prefix has no bin/python: the environment is not whole" >&2; exit 1; }}
unset PYTHONPATH LD_LIBRARY_PATH PYTHONHOME
{variables}
export PATH="$prefix/bin:{path}"
export CONDA_PREFIX="$prefix"
{secrets}{port}cd {directory}
log={logs}/{name}-$(date +%Y%m%d-%H%M%S).log
mkdir -p {logs}
echo "$log" >&2
{execute}
"""
_PORT = """taken='import socket, sys; sys.exit(socket.socket().connect_ex(("127.0.0.1", {port})) != 0)'
if "$prefix/bin/python" -IS -c "$taken"; then
  echo "port {port} is taken; is the service running? {control} status {name}" >&2
  exit 1
fi
"""
_SECRETS = """if [ -r {file} ]; then set -a; . {file}; set +a
else echo "cannot read {file}: going on without the app's secrets" >&2; fi
"""


def render(
    name: str,
    link: str,
    command: Sequence[str],
    variables: Dict[str, str],
    directory: str,
    logs: str,
    port: Optional[int],
    secrets_file: Optional[str],
    generation: str,
    control: str,
) -> str:
    """The script: it resolves the environment's link once, activates, checks the port, logs to a dated file.

    `variables` and `command` may name paths below `generation`; they follow the link instead.
    """
    own = {key: value for key, value in variables.items() if key not in ("PATH", "CONDA_PREFIX")}
    exports = ["export %s=%s" % (key, _word(value, generation)) for key, value in sorted(own.items())]
    words = " ".join(_word(word, generation) for word in command)
    return _TEMPLATE.format(
        name=name,
        control=control,
        link=_word(link),
        variables="\n".join(exports),
        path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        secrets=_SECRETS.format(file=_word(secrets_file)) if secrets_file else "",
        port=_PORT.format(port=port, name=name, control=control) if port else "",
        directory=_word(directory),
        logs=_word(logs),
        execute='exec %s >>"$log" 2>&1' % words,
    )


def _word(text: str, generation: str = "") -> str:
    """One word for sh; every whole `generation` path in it becomes the resolved link."""
    pieces = text.split(generation) if generation else [text]
    return '"$prefix"'.join(_quoted(piece) for piece in pieces) or "''"


def _quoted(text: str) -> str:
    return "" if not text else "'%s'" % text.replace("'", "'\\''")
