"""A company's network for tests: servers that only an authenticating proxy can name, with certificates of an own CA.

What a lab serves is served again over TLS, behind basic authentication where it is not packages of Debian. The servers'
name is known to the proxy alone, so that neither hosts nor this machine reach them in another way.
"""

from __future__ import annotations

import base64
import secrets
import socket
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provision.lab.serve import Server, _Handler

__all__ = ["NAME", "Company"]

NAME = "packages.company.invalid"
OPEN = ("/apt/",)
"""Below these nobody is asked who he is."""


@dataclass(frozen=True)
class Login:
    """Who may."""

    user: str
    password: str

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


class Company:
    """The proxy at `proxy`, the server behind it at `https://NAME:port`; both are gone after `close`."""

    def __init__(self, folder: Path, www: Path, address: str) -> None:
        self.folder = folder
        self.to_proxy = Login("proxy-user", "p-" + secrets.token_hex(12))
        self.to_server = Login("reader", "s-" + secrets.token_hex(12))
        self.ca = folder / "company-ca.pem"
        self._certify()
        self.asked: list[str] = []
        self._server = _served(self, www)
        self.url = f"https://{NAME}:{self._server.server_port}"
        self.log = folder / "proxy.log"
        self._proxy, self.port = self._start_proxy(address)
        self.proxy = f"http://{self.to_proxy.user}:{self.to_proxy.password}@{address}:{self.port}"
        self.proxy_open = f"http://{address}:{self.port}"

    @property
    def secrets(self) -> tuple[str, str]:
        return self.to_proxy.password, self.to_server.password

    def connects(self) -> int:
        """How many connections the proxy has made to the server."""
        return self.log.read_text().count(f"CONNECT {NAME}:")

    def close(self) -> None:
        self._proxy.terminate()
        self._proxy.wait(10)
        self._server.shutdown()
        self._server.server_close()

    def _certify(self) -> None:
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        request += ["-days", "30"]

        def made(*words: str) -> None:
            subprocess.run([*request, *words], check=True, capture_output=True, cwd=self.folder)

        made(*("-subj", "/CN=company authority", "-keyout", "ca.key", "-out", self.ca.name))
        made(
            *("-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "server.key"),
            *("-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.ca.name, "-CAkey", "ca.key"),
            *("-out", "server.pem"),
        )

    def _start_proxy(self, address: str) -> tuple[subprocess.Popen[bytes], int]:
        with socket.socket() as probe:
            probe.bind((address, 0))
            port = probe.getsockname()[1]
        hosts, configuration = self.folder / "hosts", self.folder / "proxy.conf"
        hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
        configuration.write_text(
            f'Port {port}\nListen {address}\nTimeout 60\nLogLevel Connect\nLogFile "{self.log}"\n'
            f"MaxClients 100\nBasicAuth {self.to_proxy.user} {self.to_proxy.password}\n"
        )
        configuration.chmod(0o600)
        # the name is in a file of hosts that the proxy alone sees
        script = 'mount --bind "$1" /etc/hosts && exec tinyproxy -d -c "$2"'
        argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(hosts), str(configuration)]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((address, port), 1).close()
                return process, port
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.02)


def _served(company: Company, www: Path) -> Server:
    class Handler(_Handler):
        def send_head(self) -> Any:
            company.asked.append(self.path)
            if not self.path.startswith(OPEN) and self.headers.get("Authorization") != company.to_server.basic:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="company"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return None
            return super().send_head()

    server = Server(www, "127.0.0.1", 0)
    server.RequestHandlerClass = Handler
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(company.folder / "server.pem", company.folder / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
