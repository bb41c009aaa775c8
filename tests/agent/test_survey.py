"""What a survey says of processes and folders that are made up; nothing of a secret leaves it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from provision.agent import app_found
from provision.agent.resource import Refusal
from provision.agent.resources import survey
from provision.agent.spawn import Completed
from provision.agent.survey import places, running, secret, servers
from provision.agent.system import System

TOKEN = "hf_abcdefghijklmnopqrst"
LISTENS = (
    "   0: 00000000:1B59 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0"
)


class Proc:
    """A /proc of our own, and a conda prefix whose python its processes run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.prefix = folder / "proc", folder / "conda/envs/chat"
        (self.folder / "net").mkdir(parents=True)
        (self.prefix / "bin").mkdir(parents=True)
        (self.prefix / "conda-meta").mkdir()
        self.python = self.prefix / "bin/python3.11"
        self.python.touch()

    def add(self, pid: int, argv: list[str], parent: int = 1, program: Path | None = None, **variables: str) -> None:
        place = self.folder / str(pid)
        (place / "fd").mkdir(parents=True)
        (place / "cmdline").write_text("\0".join(argv) + "\0")
        (place / "environ").write_text("".join(f"{key}={value}\0" for key, value in variables.items()))
        (place / "stat").write_text(f"{pid} (py (x) S) S {parent} 0 0")
        (place / "status").write_text("Name:\tpython\nUid:\t0\t0\t0\t0\n")
        (place / "cwd").symlink_to("/srv/chat")
        (place / "exe").symlink_to(program or self.python)

    def listens(self, pid: int) -> None:
        (self.folder / "net/tcp").write_text(f"  sl  local_address\n{LISTENS}\n")
        (self.folder / str(pid) / "fd/3").symlink_to("socket:[4711]")


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


def test_a_server_is_told_whole_and_without_its_secrets(proc: Proc) -> None:
    argv = [str(proc.python), str(proc.prefix / "bin/uvicorn"), "main:app", "--api-key", TOKEN]
    proc.add(7, argv, HF_TOKEN=TOKEN, HF_HOME="/data/hf", PATH="/bin", LD_PRELOAD="x.so", STY="1.pts", N_KEY="")
    proc.add(8, argv, parent=7, CUDA_VISIBLE_DEVICES="0")
    proc.listens(8)
    (one,) = servers.found({8: ["GPU-1"]}, [], str(proc.folder))
    assert TOKEN not in repr(one)
    assert one["words"] == [["uvicorn", None], ["main:app", None], ["--api-key", None], ["", "API_KEY"]]
    assert (one["pid"], one["ports"], one["used"], one["visible"]) == (7, [7001], ["GPU-1"], None)
    assert (one["variables"], one["secrets"]) == ({"HF_HOME": "/data/hf", "N_KEY": ""}, ["HF_TOKEN"])
    assert (one["harmful"], one["started_by"], one["user"]) == ({"LD_PRELOAD": "x.so"}, "screen", "root")
    assert (one["prefix"], one["directory"]) == (str(proc.prefix), "/srv/chat")


@pytest.mark.parametrize(
    ("sockets", "ports"),
    [([("0100007F", 29500), ("00000000", 7860)], [7860]), ([("0100007F", 7860)], [7860]), ([], [])],
)
def test_a_port_of_the_loopback_counts_where_there_is_no_other(
    sockets: list[tuple[str, int]], ports: list[int]
) -> None:
    assert servers._ports(sockets) == ports


class Gpus(System):
    """A host whose nvidia-smi names processes."""

    def run(self, argv: Any, **_: Any) -> Completed:
        return Completed(tuple(argv), 0, "43, GPU-a\n43, GPU-b\n[N/A], x\n", "")


def test_gpus_of_processes_are_asked_of_nvidia_smi() -> None:
    assert survey._gpu_processes(Gpus(blob=str)) == {43: ["GPU-a", "GPU-b"]}


def test_a_parent_of_another_program_is_no_part_of_a_server(proc: Proc) -> None:
    proc.add(5, ["bash"], program=Path("/bin/bash"))
    proc.add(7, ["python", "a.py"], parent=5)
    assert running.main_of(7, str(proc.folder)) == 7


def test_what_runs_in_a_container_has_no_environment_of_the_host(proc: Proc) -> None:
    proc.add(7, ["python", "a.py"])
    proc.listens(7)
    for where, number in (("self", 1), ("7", 2)):
        (proc.folder / where / "ns").mkdir(parents=True)
        (proc.folder / where / "ns/mnt").symlink_to(f"mnt:[{number}]")
    (one,) = servers.found({}, [], str(proc.folder))
    assert (one["contained"], one["prefix"]) == (True, "")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["/p/bin/python3.11", "/p/bin/uvicorn", "a:b"], ["uvicorn", "a:b"]),
        (["python3", "a.py"], ["python", "a.py"]),
        (["/p/bin/python", "-m", "http.server"], ["python", "-m", "http.server"]),
        (["/other/bin/tool", "x"], ["/other/bin/tool", "x"]),
        ([], []),
    ],
)
def test_a_command_is_written_as_for_an_environment(words: list[str], wanted: list[str]) -> None:
    assert running.normal(words, "/p") == wanted


@pytest.mark.parametrize("name", ["HF_TOKEN", "--api-key", "AWS_ACCESS_KEY_ID", "DB_PASS", "HFTOKEN", "client_secret"])
def test_names_of_secrets(name: str) -> None:
    assert secret.named(name)


@pytest.mark.parametrize("name", ["MAX_TOKENS", "--tokenizer", "PWD", "KEYBOARD", "MONKEY", "SSL_KEY_FILE", "HF_HOME"])
def test_names_of_no_secrets(name: str) -> None:
    assert not secret.named(name)


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        "sk-proj-0123456789abcdef",
        "a3f9c2d1e8b7a6f5c4d3e2f1a0b9c8d7",
        "https://me:pw@example.org/x",
        "postgres://me:pw@db/x",
        "https://example.org/hook?id=a3f9c2d1e8b7a6f5c4d3e2f1a0b9c8d7",
        "https://a3f9c2d1e8b7a6f5c4d3e2f1a0b9c8d7@errors.example.org/7",
    ],
)
def test_values_that_are_secrets(value: str) -> None:
    assert secret.is_secret(value)


@pytest.mark.parametrize(
    "value",
    [
        "7860",
        "GPU-12345678-1234-1234-1234-123456789abc",
        "/data/models/llama-2-7b-chat-hf-q4",
        "stabilityai/stable-diffusion-xl-base-1.0",
        "TheBloke/Llama-2-13B-chat-GGUF",
        "max_split_size_mb:512",
        "https://huggingface.co/models",
    ],
)
def test_values_that_are_none(value: str) -> None:
    assert not secret.is_secret(value)


def test_words_that_are_secrets_lose_their_value_only() -> None:
    words = ["run.py", "--token=abc", "api_key=abc", TOKEN, "--password", "--port", "1"]
    told = secret.split(words)
    assert told == [
        ("run.py", None),
        ("--token=", "TOKEN"),
        ("api_key=", "API_KEY"),
        ("", "ARGUMENT"),
        ("--password", None),
        ("--port", None),
        ("1", None),
    ]


def test_links_into_shared_data_are_found_and_data_is_not_entered(tmp_path: Path) -> None:
    data, app, env = tmp_path / "data", tmp_path / "app", tmp_path / "app/env"
    for folder in (data / "models", app / "deep", env / "conda-meta"):
        folder.mkdir(parents=True)
    (data / "inside").symlink_to(data / "models")
    (app / "models").symlink_to(data / "models")
    (app / "deep/relative").symlink_to("../../data/models")
    (app / "lost").symlink_to(data / "lost")
    (app / "elsewhere").symlink_to("/usr")
    (env / "in-a-prefix").symlink_to(data / "models")
    found, whole = places.links([str(app), str(data)], [str(data)], [])
    assert whole
    told = [(os.path.relpath(each["path"], app), each["target"], each["missing"]) for each in found]
    assert told == [
        ("deep/relative", "../../data/models", False),
        ("lost", str(data / "lost"), True),
        ("models", str(data / "models"), False),
    ]
    assert places.links([str(app)], [str(data)], [], folders=2)[1] is False


def test_what_stands_in_the_place_of_a_users_list_is_neither_waited_for_nor_followed(tmp_path: Path) -> None:
    (tmp_path / "conda/envs").mkdir(parents=True)
    (tmp_path / "secret").write_text(f"{tmp_path}/conda/envs/x\n")
    homes = [tmp_path / name for name in ("one", "two", "three")]
    for home in homes:
        (home / ".conda").mkdir(parents=True)
    os.mkfifo(homes[0] / ".conda/environments.txt")
    (homes[1] / ".conda/environments.txt").symlink_to(tmp_path / "secret")
    assert places.roots([], map(str, homes[:2])) == []
    (homes[2] / ".conda/environments.txt").write_text(f"{tmp_path}/conda/envs/x\n")
    assert places.roots([], [str(homes[2])]) == [f"{tmp_path}/conda"]


def test_prefixes_below_roots_and_which_of_them_are_ours(tmp_path: Path) -> None:
    root = tmp_path / "conda"
    ours = root / "envs/.generations/mine/aaaaaaaaaaaa-1"
    for folder in (ours, root / "envs/made"):
        (folder / "conda-meta").mkdir(parents=True)
    (root / "envs/mine").symlink_to(ours)
    (root / "envs/linked").symlink_to(root / "envs/made")
    (root / "envs/nothing").mkdir()
    (tmp_path / "home/.conda").mkdir(parents=True)
    (tmp_path / "home/.conda/environments.txt").write_text(f"{root}/envs/made\nnonsense\n")
    assert places.roots([], [str(tmp_path / "home")]) == [str(root)]
    kinds = {Path(one["path"]).name: one["kind"] for one in places.prefixes([str(root)])}
    assert kinds == {"linked": "link", "made": "directory", "mine": "generation"}


def test_a_file_system_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "_PATIENCE", 0.1)
    monkeypatch.setattr(places, "roots", lambda *_: time.sleep(30))
    with pytest.raises(Refusal, match="could not be looked through"):
        survey.observe(survey.Spec(), System(blob=str))


def test_survey_looks_at_this_machine_and_decides_nothing() -> None:
    spec = survey.Spec(roots=["/nowhere"], shared=["/nowhere"])
    state = survey.observe(spec, System(blob=str))
    assert survey.decide(spec, state) == []
    assert survey.fields(spec, state)["whole"] in (True, False)
    with pytest.raises(ValueError, match="absolute"):
        survey.Spec(roots=["here"])


def wanted(proc: Proc, **changes: object) -> app_found.Wanted:
    said = {
        "name": "chat",
        "prefix": str(proc.prefix),
        "command": ["python", "a.py"],
        "directory": "/srv/chat",
        "user": "root",
        "port": 7001,
        "gpus": ["0"],
        "variables": {"HF_HOME": "/x"},
        "secrets": ["HF_TOKEN"],
    }
    return app_found.Wanted(**{**said, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "unlike"),
    [
        ({}, []),
        ({"port": None}, []),
        ({"command": ["python", "b.py"]}, ["its command is another"]),
        ({"directory": "/srv"}, ["directory: /srv/chat, said is /srv"]),
        ({"user": "web"}, ["user: root, said is web"]),
        ({"gpus": []}, ["GPUs: 0, said is none"]),
        ({"variables": {"HF_HOME": "/y"}}, ["variable HF_HOME is another"]),
        ({"secrets": ["A_KEY"]}, ["variable A_KEY is not set"]),
    ],
)
def test_a_process_is_an_app_or_says_how_it_is_not(proc: Proc, changes: dict[str, object], unlike: list[str]) -> None:
    proc.add(7, ["python3.11", "a.py"], HF_HOME="/x", HF_TOKEN=TOKEN, CUDA_VISIBLE_DEVICES="0")
    proc.listens(7)
    system = System(blob=str)
    assert app_found.look(wanted(proc, **changes), system, str(proc.folder)) == (7, unlike)


def test_nobody_on_the_port_is_no_process(proc: Proc) -> None:
    proc.add(7, ["python", "a.py"])
    assert app_found.look(wanted(proc), System(blob=str), str(proc.folder)) == (0, [])
