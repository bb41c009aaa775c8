"""What was read of a host -> what is written, and what is left with its mend; nothing of a host is ever rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from provision.adoption import document, report
from provision.adoption.entry import entry, known_keys
from provision.adoption.judge import candidates, judged
from provision.adoption.survey import Adopted, Survey
from provision.adoption.write import need_empty, put, whole
from provision.conda.locked import CondaPackage, Lock, Paths, PipPackage
from provision.errors import ProvisionError
from provision.inventory import load_inventory
from provision.roles import load_playbook
from provision.source import Template, load

CHAT = "/opt/conda/envs/chat-torch20"


def environment(path: str = CHAT, kind: str = "directory") -> dict[str, str]:
    return {"path": path, "kind": kind, "real": path}


def listing(**changes: Any) -> dict[str, Any]:
    python = {"name": "python", "version": "3.11.2", "build": "h1_0", "channel": "conda-forge"}
    pip = [{"name": "Rich_Text", "version": "1.0", "direct_url": None}]
    return {"packages": [python], "pip": pip, "python": "3.11.2", "variables": {}, "broken": [], **changes}


def server(**changes: Any) -> dict[str, Any]:
    found = {
        "pid": 43,
        "program": f"{CHAT}/bin/python3.11",
        "prefix": CHAT,
        "words": [["python", None], ["server.py", None], ["7860", None]],
        "directory": "/srv/chat",
        "user": "root",
        "variables": {},
        "harmful": {},
        "secrets": [],
        "ports": [7860],
        "visible": ["0"],
        "used": [],
        "unit": "",
        "contained": False,
        "started_by": "hand",
    }
    return {**found, **changes}


def survey(**changes: Any) -> Survey:
    seen = {
        "environments": [environment()],
        "servers": [server()],
        "links": [],
        "whole": True,
        "devices": [{"index": 0, "uuid": "GPU-a"}, {"index": 1, "uuid": "GPU-b"}],
        "simulated": False,
    }
    listings = changes.pop("listings", {CHAT: listing()})
    unread = changes.pop("unread", {})
    return Survey("gpu-01", {**seen, **changes}, listings, unread)


def lock(python: str = "3.11.2", pip: str = "1.0") -> Lock:
    package = CondaPackage("python", python, "h1_0", "https://conda.anaconda.org/x", "0" * 64, 1)
    place = Paths(Path("a"), Path("b"), Path("c"))
    none: dict[str, Any] = {"floor": {}, "expect": {}, "variables": {}, "asks": {}, "files": {}}
    return Lock(
        name="chat-torch20",
        locked="2026-01-01T00:00:00Z",
        digest="0" * 64,
        paths=place,
        packages=(package,),
        pip=(PipPackage("rich-text", pip, "https://pypi.org/simple", "index", ()),),
        platform="linux-64",
        virtual_packages=(),
        imports=(),
        simulated=False,
        python=python,
        environment_sha256="0" * 64,
        provided=(),
        **none,
    )


def adopted(found: Survey, made: Lock | ProvisionError | None = None) -> Adopted:
    taken, left = candidates(found, {})
    return judged(found, taken, left, {one.path: made or lock() for one in taken})


def written(found: Survey, folder: Path) -> Path:
    one = adopted(found)
    for environment in one.environments:
        put(folder, document.role_files(environment))
    put(folder, document.files(one, {"ansible_host": "10.0.0.1"}, ""))
    return folder


def test_environment_app_and_links_are_written(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    links = [
        {"path": "/srv/chat/models", "target": "/data/models", "root": "/data", "missing": False},
        {"path": "/srv/chat/out", "target": "../../data/out", "root": "/data", "missing": False},
    ]
    whole_server = server(variables={"HF_HOME": "/data/hf"}, secrets=["HF_TOKEN"], user="web", unit="talk.service")
    folder = written(survey(servers=[whole_server], links=links), tmp_path)
    texts = [f"{path.relative_to(folder)}\n{path.read_text()}" for path in sorted(folder.rglob("*")) if path.is_file()]
    assert "\n".join(texts) == snapshot
    load_playbook(folder / "playbook.yaml")
    assert list(load_inventory([folder / "inventory.yaml"]).hosts) == ["gpu-01"]
    assert (folder / "host_vars/gpu-01.yaml").stat().st_mode & 0o777 == 0o600


EVIL = "{{ lookup('pipe', 'id') }}"


def test_what_a_host_says_is_text_and_never_a_template(tmp_path: Path) -> None:
    evil = server(
        words=[["python", None], [EVIL, None], ["{% raw %}", None], ["a: b # c", None], ["yes", None]],
        directory=f"/srv/{EVIL}",
        variables={"X": EVIL, "Y": "'\"\\"},
        visible=None,
        used=[EVIL],
    )
    link = {"path": f"/srv/{EVIL}", "target": "/data/x", "root": "/data", "missing": False}
    folder = written(survey(servers=[evil], links=[link]), tmp_path)
    (play,) = load(folder / "playbook.yaml")
    (app,) = play["apps"]
    assert app["command"] == ["python", EVIL, "{% raw %}", "a: b # c", "yes"]
    assert "gpus" not in app
    assert (app["directory"], app["variables"]) == (f"/srv/{EVIL}", {"X": EVIL, "Y": "'\"\\"})
    assert play["tasks"][0]["link"]["path"] == f"/srv/{EVIL}"
    found = [*app["command"], app["directory"], *app["variables"].values(), play["tasks"][0]["link"]["path"]]
    assert not [text for text in found if isinstance(text, Template)]
    (book,) = load_playbook(folder / "playbook.yaml").plays
    assert not [task for task in book.tasks if isinstance(task.arguments.get("directory"), Template)]


@pytest.mark.parametrize(
    ("changes", "what", "why", "mend"),
    [
        (
            {"servers": [server(prefix="", program="/usr/bin/python3.11")]},
            "process 43",
            "no conda environment",
            "start",
        ),
        ({"servers": [server(prefix="", contained=True)]}, "process 43", "runs in a container", "container"),
        ({"servers": [server(prefix="/opt/conda")]}, "process 43", "below a folder `envs`", "start it again"),
        ({"servers": [server(prefix="/x/envs/y")]}, "process 43", "`/x/envs/y` was not taken over", "mend that first"),
        ({"servers": [server(words=[["a.py", None], ["--key=", "KEY"]])]}, "--key={{ key }}", "word 2", "variable"),
        ({"servers": [server(harmful={"LD_PRELOAD": "/x.so"})]}, "LD_PRELOAD of app `chat`", "/x.so", "`variables`"),
        ({"servers": [server(ports=[1, 2])]}, "port 1, port 2", "several ports", "by hand"),
        ({"servers": [server(directory="/srv/chat (deleted)")]}, "process 43", "directory is gone", "start it again"),
        ({"servers": [server(directory="/srv/\x1b[2J")]}, "process 43", "control characters", "start it again"),
        ({"servers": [server(user="")]}, "process 43", "has no name", "create that user"),
        ({"servers": [server(secrets=["A }}{{ 1 "])]}, "process 43", "no usual name", "without it"),
        ({"servers": [server(ports=["{{ 1 }}"])]}, "process 43", "no numbers", "by hand"),
        ({"servers": [server(visible=None)]}, "GPUs of app `chat`", "neither", "`gpus`"),
        ({"environments": [environment(kind="link")]}, f"`{CHAT}`", "a link", "directory"),
        ({"environments": [environment(kind="generation")]}, f"`{CHAT}`", "already", "playbook"),
        ({"unread": {CHAT: "it cannot be read"}}, f"`{CHAT}`", "it cannot be read", "adopt again"),
        ({"listings": {CHAT: listing(broken=["conda-meta/a.json"])}}, f"`{CHAT}`", "conda-meta/a.json", "reinstall"),
        ({"listings": {CHAT: listing(packages=[])}}, f"`{CHAT}`", "no package", "env import"),
        ({"listings": {CHAT: listing(variables={"A_TOKEN": "x"})}}, "variable `A_TOKEN`", "a secret", "`secrets`"),
        ({"whole": False}, "links", "more folders", "by hand"),
        (
            {"links": [{"path": "/a", "target": "/data/b", "root": "/data", "missing": True}]},
            "`/a`",
            "not exist",
            "mend",
        ),
        (
            {"links": [{"path": "/\n", "target": "/data", "root": "/data", "missing": False}]},
            "link",
            "control",
            "rename",
        ),
    ],
)
def test_what_cannot_be_taken_over_has_its_mend(changes: dict[str, Any], what: str, why: str, mend: str) -> None:
    found = adopted(survey(**changes))
    left = [one for one in found.left if what in one.what and why in one.why and mend in one.mend]
    assert len(left) == 1, found.left
    told = report.text(found, Path("there"))
    assert left[0].mend.splitlines()[0] in told and "\x1b" not in told


@pytest.mark.parametrize("path", ["/opt/conda/envs/{{x}}", "/opt/conda/envs/a b", "/opt/co$nda/envs/a"])
def test_a_name_that_cannot_stand_in_a_path_is_no_role(path: str) -> None:
    found = adopted(survey(environments=[environment(path)], listings={path: listing()}, servers=[]))
    assert (found.environments, len(found.left)) == ((), 1)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lock(python="3.11.3"), "missing: python 3.11.3 h1_0"),
        (lock(pip="2.0"), "another version: rich-text 1.0, locked is 2.0"),
        (ProvisionError("no such package", hint="ask"), "no such package"),
    ],
)
def test_an_environment_that_is_not_its_lock_is_left_with_its_servers(made: Any, why: str) -> None:
    found = adopted(survey(), made)
    first, second = found.left
    assert (found.environments, found.apps) == ((), ())
    assert why in first.why and "not-taken-over/chat-torch20" in first.mend
    assert "was not taken over" in second.why


def test_gpus_of_a_server_without_the_variable_are_those_it_computes_on() -> None:
    (app,) = adopted(survey(servers=[server(visible=None, used=["GPU-b"])])).apps
    assert app.gpus == ("1",)


def test_two_servers_of_one_directory_and_one_gpu(tmp_path: Path) -> None:
    two = [server(), server(pid=44, ports=[7861])]
    (play,) = load(written(survey(servers=two), tmp_path) / "playbook.yaml")
    assert [(app["name"], app["share_gpus"]) for app in play["apps"]] == [("chat", True), ("chat-7861", True)]


def test_what_belongs_to_the_system_is_left_aside() -> None:
    found = adopted(survey(servers=[server(prefix="", program="/usr/sbin/sshd", ports=[22])]))
    assert (found.apps, found.left, found.aside) == ((), (), ("sshd (port 22)",))


def test_a_report_as_json_has_everything(snapshot: SnapshotAssertion) -> None:
    found = adopted(
        survey(servers=[server(secrets=["HF_TOKEN"]), server(pid=44, ports=[1, 2], harmful={"PYTHONPATH": "/x"})])
    )
    assert report.document(found, Path("there")) == snapshot


def test_an_entry_holds_no_secret_of_the_old_inventory(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (tmp_path / "known_hosts").write_text("10.0.0.1 ssh-ed25519 A\n10.0.0.2 ssh-ed25519 B\n")
    (tmp_path / "inventory.yaml").write_text(
        "all:\n  hosts:\n    gpu-01:\n      ansible_host: 10.0.0.1\n      ansible_password: pw\n      mine: 1\n"
        "      ansible_ssh_private_key_file: key\n      index_mirrors: {https://pypi.org/simple: 'https://u:p@here/x'}\n"
    )
    inventory = load_inventory([tmp_path / "inventory.yaml"])
    kept, left = entry(inventory, "gpu-01")
    assert kept == {"ansible_host": "10.0.0.1", "ansible_ssh_private_key_file": str(tmp_path / "key")}
    assert [one.what for one in left] == [
        "variable `ansible_password` of the inventory",
        "variable `index_mirrors` of the inventory",
    ]
    assert known_keys(inventory, "gpu-01") == "10.0.0.1 ssh-ed25519 A\n"


@pytest.mark.parametrize("there", ["file", "filled", "link"])
def test_a_directory_that_holds_something_is_refused(tmp_path: Path, there: str, snapshot: SnapshotAssertion) -> None:
    place = tmp_path / "there"
    if there == "file":
        place.touch()
    elif there == "link":
        place.symlink_to(tmp_path)
    else:
        place.mkdir()
        (place / "x").touch()
    with pytest.raises(ProvisionError) as caught:
        need_empty(place)
    assert str(caught.value).replace(str(tmp_path), "") == snapshot


def test_a_directory_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "new"
    with pytest.raises(RuntimeError), whole(place) as folder:
        put(folder, {"a/b": "x"})
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    place.mkdir()
    need_empty(place)
    with whole(place) as folder:
        put(folder, {"a/b": "x"})
        with pytest.raises(ValueError, match="out"):
            put(folder, {"../out": "x"})
    assert (place / "a/b").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
