"""The certificate authorities that a step is to trust beside the host's own, in one file for all programs.

Owns `ca/` in the folder of state: a file for each set of authorities, by its hash. Must not decide who is trusted.
"""

from __future__ import annotations

import os
from typing import Dict, Optional

from .system import System

__all__ = ["bundle", "joined", "own", "variables"]

_OWN = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def variables(system: System) -> Dict[str, str]:
    """SSL_CERT_FILE for what a step runs; none where it trusts no more than the host, or says itself whom."""
    if any(name.upper() in ("SSL_CERT_FILE", "SSL_CERT_DIR") for name in system.environment):
        return {}
    path = bundle(system)
    return {"SSL_CERT_FILE": path} if path else {}


def bundle(system: System) -> Optional[str]:
    """The file with the host's authorities and the step's, made where it is not there; None where the step names none.

    A worker of a user who may not write there, where no root has made it, has one for this run alone.
    """
    if system.trust is None:
        return None
    path = os.path.join(system.state_directory, "ca", system.trust + ".pem")
    known = own()
    if _is_right(path, known):
        return path
    source = system.blob(system.trust)
    if not os.access(system.state_directory, os.W_OK):
        path = source + ".pem"
        if _is_right(path, known):
            return path
    with open(source, "rb") as file:
        data = joined(file.read(), known)
    system.mkdir(os.path.dirname(path), 0o755)
    system.write(path, data, mode=0o644)
    if known:
        status = os.stat(known)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    return path


def own() -> Optional[str]:
    """The file of this machine's own authorities, None where it has none."""
    return next((path for path in _OWN if os.path.isfile(path)), None)


def joined(data: bytes, known: Optional[str]) -> bytes:
    """Authorities in PEM behind those of a file."""
    if known is None:
        return data
    with open(known, "rb") as file:
        return file.read().rstrip(b"\n") + b"\n" + data


def _is_right(path: str, known: Optional[str]) -> bool:
    """Whether the file is there, and made of the machine's authorities as they are: it has their time."""
    try:
        made = os.stat(path).st_mtime_ns
        return known is None or made == os.stat(known).st_mtime_ns
    except OSError:
        return False
