"""A served channel and index, and the settings that mirror the canonical ones to it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny_channel

from provision.conda.environment import Environment, read
from provision.conda.mirrors import Settings


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    """A shorter queue loses connections of a solver that opens many at once, and each loss costs it a second."""


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the served channel and indexes."""
    www = tmp_path_factory.mktemp("www")
    tiny_channel.write(www)
    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(www))) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture
def settings(server: str, tmp_path: Path) -> Settings:
    """Everything is mirrored, with credentials that must turn up nowhere."""
    address = server.replace("://", "://reader:hunter2@")
    variables = {
        "channel_mirrors": {"https://conda.anaconda.org": f"{address}/conda"},
        "index_mirrors": {
            "https://pypi.org/simple": f"{address}/pypi/simple",
            "https://private.example/simple": f"{address}/private/simple",
            "https://wheels.example/page": f"{address}/wheels/files/",
        },
    }
    return Settings.read(variables, tmp_path)


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., Environment]:
    """Make an environment from its conda and pip lines."""

    def make(
        *conda: str, pip: tuple[str, ...] = (), name: str = "img2video-torch20-cu118", more: str = ""
    ) -> Environment:
        text = f"name: {name}\nchannels: [pytorch, nvidia, conda-forge, nodefaults]\ndependencies:\n"
        text += "".join(f"  - {line}\n" for line in conda)
        text += ("  - pip:\n" + "".join(f"      - {line}\n" for line in pip)) if pip else ""
        path = tmp_path / "environment.yml"
        path.write_text(text + more)
        return read(path)

    return make
