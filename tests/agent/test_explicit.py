"""Installation by a micromamba of the host where rattler does not run; a stand-in of the lab takes its place."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conda_parts import CHANNEL, Host, build, serving

import provision.lab
from provision.agent import archives, condas, explicit, generations, inspection
from provision.agent.resource import Refusal
from provision.agent.resources import conda_env
from provision.agent.system import System

SHA = "ab" * 32
PACKAGE = {"name": "a", "url": "https://conda.example.org/c/linux-64/a-1-0.conda", "sha256": SHA, "kind": "conda"}


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp()
    shared = folder.parent if "popen-gw" in folder.name else folder
    build(shared / "conda-parts")
    return shared / "conda-parts"


@pytest.fixture(scope="session")
def url(parts: Path) -> Iterator[str]:
    with serving(parts) as address:
        yield address


@pytest.fixture
def host(parts: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A host where only `bin` of its own folder may hold a conda, whatever this machine has."""
    with tempfile.TemporaryDirectory(prefix="provision-") as folder:
        monkeypatch.setattr(condas, "places", lambda *_: [f"{folder}/bin"])
        Path(folder, "bin").mkdir()
        yield Host(Path(folder), parts, url)


def program(host: Host, name: str = "micromamba", text: str = "") -> Path:
    """The stand-in as a program of the host; without rattler's folder it finds the one of this Python."""
    path = host.folder / "bin" / name
    source = Path(provision.lab.__file__).with_name("micromamba.py").read_text()
    path.write_text(text or source.replace("#!/usr/bin/env python3", f"#!{sys.executable}", 1))
    path.chmod(0o755)
    return path


def broken(host: Host, error: str = "ImportError('it needs glibc')") -> str:
    """A rattler that cannot be imported."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("rattler/__init__.py", f"raise {error}\n")
    return host.blob(packed.getvalue(), "rattler")


def converge(host: Host, spec: conda_env.Spec) -> conda_env.State:
    system = host.system()
    for action in conda_env.decide(spec, conda_env.observe(spec, system)):
        conda_env.apply(action, system, host.emit)
    state = conda_env.observe(spec, system)
    assert conda_env.decide(spec, state) == []
    return state


def told(host: Host) -> str:
    return "".join(what.get("output", "") for what in host.shown)


def without(rattler: str, host: Host) -> dict[str, Any]:
    if rattler == "not sent":
        return {"rattler_blob": None, "rattler_lacks": "the installer `rattler` does not run on Python 3.9, riscv64"}
    return {"rattler_blob": broken(host, "SystemExit(3)" if rattler == "dies" else "ImportError('it needs glibc')")}


@pytest.mark.slow
@pytest.mark.parametrize("rattler", ["not sent", "does not import", "dies"])
def test_the_lock_is_installed_by_micromamba(host: Host, rattler: str) -> None:
    program(host)
    spec = host.spec("one", pip=("gamma==3.1",), **without(rattler, host))
    state = converge(host, spec)
    assert "stand-in of provision's lab" in state.installer
    assert "rattler does not run here" in told(host) and "stand-in" in told(host)
    output = host.system().run([f"{state.built}/bin/alpha"], timeout=10)
    assert output.stdout == "1\n"
    assert conda_env.fields(spec, state)["installer"] == state.installer
    assert conda_env.observe(spec, host.system(depth="hashes")).drift == []
    for record in Path(state.built, "conda-meta").glob("*.json"):
        found = json.loads(record.read_text())
        assert found["url"].startswith(f"{CHANNEL}/") and found["channel"] == CHANNEL
    assert not list(Path(generations.store(host.root, "env")).glob("fresh-cache*"))
    assert str(host.url) not in "".join(path.read_text() for path in Path(state.built, "conda-meta").iterdir())


@pytest.mark.slow
def test_a_package_with_another_hash_is_refused_before_the_program_sees_it(host: Host) -> None:
    program(host, text="#!/bin/sh\n[ $1 = --version ] && echo 1.0 || touch $0.started\n")
    spec = host.spec("one", rattler_blob=broken(host))
    listing = json.loads(Path(host.blobs[str(spec.listing_blob)]).read_bytes())
    listing[0]["sha256"] = SHA
    spec = host.spec("one", rattler_blob=broken(host), listing_blob=host.blob(json.dumps(listing).encode(), "listing"))
    with pytest.raises(Refusal) as caught:
        converge(host, spec)
    assert SHA in caught.value.cause
    assert not (host.folder / "bin/micromamba.started").exists()
    assert list(Path(generations.store(host.root, "env")).glob("*-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("accepted", [[], ["linked"]])
def test_a_link_script_is_refused_before_it_could_run(host: Host, accepted: list[str]) -> None:
    program(host)
    with pytest.raises(Refusal) as caught:
        converge(host, host.spec("linked", rattler_blob=broken(host), post_link_ignore=accepted))
    assert caught.value.summary == "package `linked` of environment `env` has a post-link script"
    assert "cannot leave them unrun" in caught.value.cause


@pytest.mark.slow
def test_a_program_that_fails_is_quoted_and_nothing_is_left(host: Host) -> None:
    program(host, text="#!/bin/sh\n[ $1 = --version ] && echo 1.0 && exit\necho no such thing >&2\nexit 4\n")
    with pytest.raises(Refusal) as caught:
        converge(host, host.spec("one", rattler_blob=broken(host)))
    assert caught.value.cause.startswith("micromamba 1.0 (`") and "no such thing" in caught.value.cause
    assert list(Path(generations.store(host.root, "env")).glob("*-*")) == []


@pytest.mark.slow
def test_a_program_that_unpacks_elsewhere_is_refused(host: Host) -> None:
    program(host, text="#!/bin/sh\n[ $1 = --version ] && echo 1.0\nexit 0\n")
    with pytest.raises(Refusal, match="cannot look into the conda packages"):
        converge(host, host.spec("one", rattler_blob=broken(host)))


def test_a_host_without_either_is_refused_in_a_plan(host: Host) -> None:
    spec = host.spec("one", rattler_blob=None, rattler_lacks="no build of it")
    with pytest.raises(Refusal) as caught:
        conda_env.decide(spec, conda_env.observe(spec, host.system(check=True)))
    assert caught.value.summary == "nothing on this host can install environment `env`"
    assert "no build of it" in caught.value.cause and "`micromamba`, `mamba`, `conda`" in caught.value.cause


def test_others_may_not_change_what_installs(host: Host) -> None:
    path = program(host, text="#!/bin/sh\necho 1.0\n")
    path.chmod(0o777)
    found, passed = condas.find(host.system(), host.root)
    assert found is None
    assert passed == [f"`{path}` is not trusted: others than this user could change it"]


@pytest.mark.parametrize(
    ("name", "says", "version"),
    [
        ("conda", "conda 24.9.2", "24.9.2"),
        ("mamba", "mamba 1.5.8\\nconda 23.11.0", "1.5.8"),
        ("mamba", "2.0.5", "2.0.5"),
        ("micromamba", "2.0.5", "2.0.5"),
    ],
)
def test_a_version_is_read(host: Host, name: str, says: str, version: str) -> None:
    program(host, name, f"#!/bin/sh\nprintf '{says}\\n'\n")
    found, _ = condas.find(host.system(), host.root)
    assert found == condas.Program(str(host.folder / "bin" / name), name, version)


def test_one_that_does_not_run_is_passed_over(host: Host) -> None:
    program(host, "micromamba", "#!/bin/sh\necho wrong libc >&2\nexit 127\n")
    program(host, "conda", "#!/bin/sh\necho conda 24.11.0\n")
    found, passed = condas.find(host.system(), host.root)
    assert found is not None and found.name == "conda"
    assert passed == [f"`{host.folder}/bin/micromamba` does not run: wrong libc"]


def test_usual_places_are_looked_at() -> None:
    found = condas.places("/srv/conda", "/home/u", "/usr/bin:/bin")
    assert found[:3] == ["/usr/bin", "/bin", "/home/u/.local/bin"]
    assert {"/srv/conda/condabin", "/opt/miniforge3/bin", "/home/u/miniconda3/bin"} <= set(found)


@pytest.mark.parametrize(
    ("name", "version", "reads"),
    [("conda", "24.9.0", True), ("conda", "24.7.1", False), ("conda", "4.12.0", False), ("micromamba", "1.5.8", True)],
)
def test_old_condas_read_md5_only(name: str, version: str, reads: bool) -> None:
    assert condas.reads_sha256(condas.Program("/x", name, version)) is reads


def test_the_list_names_files_with_hashes() -> None:
    text = explicit.explicit_list([PACKAGE], {PACKAGE["url"]: "sha256:" + SHA}, "/srv/a b")
    assert text == f"@EXPLICIT\nfile:///srv/a%20b/linux-64/a-1-0.conda#sha256:{SHA}\n"


@pytest.mark.parametrize(
    ("mirrors", "address"),
    [
        ({}, PACKAGE["url"]),
        ({"https://conda.example.org/c": "http://m/x/"}, "http://m/x/linux-64/a-1-0.conda"),
        ({"https://conda.example.org": "http://o", "https://conda.example.org/c": "http://m"}, "http://m/linux-64/a-1-0.conda"),
        ({"https://conda.example.org/other": "http://m"}, PACKAGE["url"]),
    ],
)  # fmt: skip
def test_the_longest_mirror_serves(mirrors: dict[str, str], address: str) -> None:
    assert archives.address(PACKAGE["url"], mirrors) == address


@pytest.mark.parametrize(
    ("no_proxy", "used"),
    [
        ("", True),
        ("localhost, .other.org", True),
        ("nda.example.org", True),
        ("*", False),
        ("example.org", False),
        (".example.org", False),
        ("localhost,conda.example.org", False),
        ("conda.example.org:8080", False),
    ],
)
def test_no_proxy_spares_hosts_and_domains(no_proxy: str, used: bool) -> None:
    environment = {"HTTP_PROXY": "http://proxy:3128", "no_proxy": no_proxy}
    found = archives.proxies_of("http://conda.example.org:8080/c/x", environment)
    assert found == ({"http": "http://proxy:3128"} if used else {})


def test_credentials_go_into_a_header_that_no_redirect_takes_along(tmp_path: Path) -> None:
    """The first server asks for the header and sends to a second one, which must not see it."""
    seen: dict[str, list[str | None]] = {"/c/linux-64/a-1-0.conda": [], "/elsewhere": []}

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen[self.path].append(self.headers.get("Authorization"))
            moved = self.path != "/elsewhere"
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", f"http://localhost:{server.server_address[1]}/elsewhere")
            self.end_headers()
            self.wfile.write(b"" if moved else b"content")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mirrors = {"https://conda.example.org/c": f"http://user:p%40ss@127.0.0.1:{server.server_address[1]}/c"}
        package = {**PACKAGE, "sha256": hashlib.sha256(b"content").hexdigest()}
        archives.fetch("env", [package], str(tmp_path), mirrors, {}, lambda **_: None, lambda: False)
        server.shutdown()
    expected = "Basic " + base64.b64encode(b"user:p@ss").decode()
    assert seen == {"/c/linux-64/a-1-0.conda": [expected], "/elsewhere": [None]}
    assert (tmp_path / "linux-64/a-1-0.conda").read_bytes() == b"content"


def test_credentials_are_in_no_error(tmp_path: Path) -> None:
    with pytest.raises(Refusal) as caught:
        archives.fetch(
            "env",
            [PACKAGE],
            str(tmp_path),
            {"https://conda.example.org/c": "http://user:word@127.0.0.1:9/c"},
            {},
            lambda **_: None,
            lambda: False,
        )
    assert "127.0.0.1:9" in caught.value.cause and "word" not in caught.value.cause


def test_an_address_by_another_protocol_is_refused(tmp_path: Path) -> None:
    mirrors = {"https://conda.example.org/c": "oci://registry/c"}
    with pytest.raises(Refusal, match="cannot install") as caught:
        archives.fetch("env", [PACKAGE], str(tmp_path), mirrors, {}, lambda **_: None, lambda: False)
    assert "not by `oci`" in caught.value.cause


def test_condas_records_of_rewritten_files_keep_their_first_size(tmp_path: Path) -> None:
    """conda notes the size before it writes the prefix into a text, and the checksum after."""
    file = tmp_path / "tool"
    file.write_text("#!/srv/long/prefix\n")
    entry = {"_path": "tool", "path_type": "hardlink", "size_in_bytes": 4, "file_mode": "text"}
    right = {**entry, "sha256_in_prefix": System(blob=str).sha256(str(file))}
    record = {"name": "a", "paths_data": {"paths": [right]}}
    inspection.check_files(System(blob=str), str(tmp_path), [record])
    for wrong in ({**right, "sha256_in_prefix": SHA}, {**right, "file_mode": "binary"}, entry):
        with pytest.raises(inspection.Damaged, match="another size"):
            inspection.check_files(System(blob=str), str(tmp_path), [{"name": "a", "paths_data": {"paths": [wrong]}}])
