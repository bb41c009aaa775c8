"""The beginning of a connection over SSH: what holds for the host, and the byte stream to it.

Dials before paramiko is imported, so that a host's sshd makes itself ready meanwhile, and a host that refuses costs no
import at all. Must not speak SSH (ssh/).
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from provision.transport import Target
from provision.transport.auth import Prompts
from provision.transport.host_keys import KnownHosts
from provision.transport.quick_socket import ProxySocket, QuickSocket, dial, proxy
from provision.transport.ssh_directives import settings_of
from provision.transport.ssh_options import Options, resolve

if TYPE_CHECKING:
    from provision.transport.ssh import SshConnection

__all__ = ["begin", "connect", "direct"]


def connect(target: Target, *, prompts: Prompts | None = None, only_key: bool = False) -> SshConnection:
    """One authenticated connection to a host; raises Unreachable. `prompts` asks the operator where a host asks.

    `only_key`: nothing is offered but the target's key, from its file or from an agent.
    """
    config, arguments = settings_of(target.ssh_arguments)
    options = resolve(target, arguments, config)
    if only_key:
        options = replace(
            options,
            identities=options.identities[:1],
            default_identities=False,
            identities_only=True,
            methods=("publickey",),
        )
    return begin(options, target.name, target.password, prompts or Prompts(None))


def begin(options: Options, name: str, password: str | None, prompts: Prompts) -> SshConnection:
    """The connection that options describe, to a host or to a bastion; raises Unreachable."""
    deadline = time.monotonic() + options.timeout
    known = KnownHosts(options.known_hosts)
    stream = None if options.via else direct(options, name)
    try:
        from provision.transport.ssh import login

        return login(options, name, password, prompts, known, stream, deadline)
    except BaseException:
        if stream is not None:
            stream.close()
        raise


def direct(options: Options, name: str) -> QuickSocket | ProxySocket:
    """The stream to a host without a bastion; raises Unreachable."""
    if options.proxy_command:
        return proxy(options.proxy_command, name=name)
    return dial(
        options.host,
        options.port,
        timeout=options.timeout,
        name=name,
        family=options.family,
        source=options.source,
        attempts=options.attempts,
    )
