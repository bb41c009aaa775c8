"""The pure parts of the lab: which subnet, which hosts, which texts, what a process is known by."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from provision import inventory as inventories
from provision.errors import ProvisionError
from provision.lab import apps, gpus, inventory, network
from provision.lab.processes import Identity
from provision.lab.state import Record, State, base_directory, check_counts, lab_name, locked


def record(**counts: int) -> Record:
    return Record("unit", 3).grown({kind: counts.get(kind, 0) for kind in ("gpu", "plain", "bullseye")})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("claimed", "used", "chosen"),
    [
        ((), (), 0),
        ({0, 1}, (), 2),
        ((), ("10.77.0.1/24", "192.0.2.2/24"), 1),
        ({1}, ("10.77.0.0/24",), 2),
        ((), ("10.77.0.0/17",), 128),
        ((), ("fd00::2/64",), 0),
        ((), ("10.77.0.5",), 1),
    ],
)
def test_a_subnet_is_the_first_that_nobody_has(claimed: set[int], used: tuple[str, ...], chosen: int) -> None:
    assert network.choose_subnet(claimed, used) == chosen


def test_no_subnet_left_is_an_error() -> None:
    with pytest.raises(ProvisionError, match="no subnet is left"):
        network.choose_subnet((), ("10.0.0.0/8",))


def test_a_record_grows_and_never_shrinks() -> None:
    grown = record(gpu=2, plain=1).grown({"gpu": 1, "bullseye": 1})
    assert [(host.name, grown.address(host.octet)) for host in grown.hosts] == [
        ("gpu-01", "10.77.3.11"),
        ("gpu-02", "10.77.3.12"),
        ("plain-01", "10.77.3.151"),
        ("bullseye-01", "10.77.3.201"),
    ]
    assert grown.hosts[3].suite == "bullseye"
    assert not grown.hosts[2].systemd


def test_the_largest_lab_has_one_address_a_host() -> None:
    largest = record(gpu=140, plain=50, bullseye=50)
    octets = [host.octet for host in largest.hosts]
    assert len(set(octets)) == 240
    assert max(octets) < 255


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = State("unit", tmp_path / "unit")
    assert state.read() is None
    state.write(record(gpu=1, plain=1))
    assert state.read() == record(gpu=1, plain=1)


@pytest.mark.parametrize("counts", [{"gpu": -1}, {"gpu": 141}, {"plain": 51}, {"gpu": 0}])
def test_impossible_numbers_of_hosts_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ProvisionError):
        check_counts(counts)  # type: ignore[arg-type]


def test_a_lab_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PROVISION_LAB", raising=False)
    assert lab_name() == "lab"
    monkeypatch.setenv("PROVISION_LAB", "other")
    monkeypatch.setenv("PROVISION_LAB_DIR", str(tmp_path))
    assert State.named().directory == base_directory() / "labs/other" == tmp_path / "labs/other"
    monkeypatch.setenv("PROVISION_LAB", "../x")
    with pytest.raises(ProvisionError, match="cannot be the name of a lab"):
        lab_name()


def test_a_lock_has_one_holder_and_a_deadline(tmp_path: Path) -> None:
    with locked(tmp_path / "locks/one"):
        with (
            pytest.raises(ProvisionError, match="another command is still changing"),
            locked(tmp_path / "locks/one", 0.01),
        ):
            pass
        with locked(tmp_path / "locks/other", 0.01):
            pass
    with locked(tmp_path / "locks/one", 0.01):
        pass


def test_a_lock_lives_in_a_process_that_inherited_it(tmp_path: Path) -> None:
    with locked(tmp_path / "one") as descriptor:
        process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(descriptor,))
    try:
        with pytest.raises(ProvisionError), locked(tmp_path / "one", 0.01):
            pass
    finally:
        process.communicate()
    with locked(tmp_path / "one", 1):
        pass


def test_a_process_is_known_by_id_and_start_time() -> None:
    own = Identity.of(os.getpid())
    assert own is not None
    assert own.alive()
    assert not Identity(own.pid, own.started + 1).alive()
    assert Identity.parse("7 (a) b (c)) S " + " ".join(["0"] * 18 + ["4711"])) == Identity(7, 4711)
    assert Identity.parse("7 (gone) Z " + " ".join(["0"] * 19)) is None
    assert Identity.parse("") is None


def test_another_process_of_the_same_id_is_not_killed() -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    found = Identity.of(process.pid)
    assert found is not None
    Identity(found.pid, found.started - 1).kill()
    assert process.poll() is None
    found.kill()
    assert process.wait(5) == -9
    process.communicate()


def test_the_inventory_is_one_that_the_tool_reads(tmp_path: Path) -> None:
    path = tmp_path / "inventory.yaml"
    path.write_text(
        inventory.inventory(State("unit", tmp_path), record(gpu=2, plain=1, bullseye=1), {"llama_version": "a" * 40})
    )
    read = inventories.load_inventory([path])
    assert sorted(read.hosts) == ["bullseye-01", "gpu-01", "gpu-02", "plain-01"]
    assert {"gpu", "systemd", "plain", "bullseye"} <= set(read.groups)


def test_the_inventory_in_full(snapshot: object) -> None:
    state = State("unit", Path("/var/lib/provision-lab/labs/unit"))
    assert inventory.inventory(state, record(gpu=2, plain=1), {"llama_version": "a" * 40}) == snapshot


def test_known_hosts_names_addresses_and_names() -> None:
    text = inventory.known_hosts(record(gpu=2), {"gpu-01": "ssh-ed25519 AAAA", "gpu-02": "ssh-ed25519 BBBB"})
    assert text == "10.77.3.11,gpu-01 ssh-ed25519 AAAA\n10.77.3.12,gpu-02 ssh-ed25519 BBBB\n"


def test_the_sources_of_an_app_say_that_they_are_simulated() -> None:
    for app in apps.APPS:
        files = apps.sources(app)
        compile(files[app.program], app.program, "exec")
        assert '"simulated": True' in files[app.program]
        assert "@" not in files[app.program].replace("@app", "")


def test_the_same_sources_give_the_same_commit(tmp_path: Path) -> None:
    heads = set()
    for lab in ("one", "two"):
        apps.build(tmp_path / lab)
        for app in apps.APPS:
            bare = tmp_path / lab / "git" / f"{app.name}.git"
            heads.add((app.name, (bare / "refs/heads/main").read_text()))
            assert (bare / "info/refs").exists(), "plain HTTP needs it"
    assert len(heads) == len(apps.APPS)


def test_a_commit_keeps_the_other_files(tmp_path: Path) -> None:
    apps.build(tmp_path)
    bare = tmp_path / "git/img2video.git"
    commit = apps.commit(bare, {"sub/new.txt": "new\n"}, "More")
    listed = subprocess.run(
        ["git", f"--git-dir={bare}", "ls-tree", "-r", "--name-only", commit], capture_output=True, text=True, check=True
    )
    assert listed.stdout.split() == [".gitignore", "README.md", "app.py", "sub/new.txt"]
    assert list((tmp_path / "git").iterdir()) and not list((tmp_path / "git").glob("*.work"))


@pytest.fixture
def smi(tmp_path: Path) -> Path:
    """The simulated nvidia-smi over a file of the test's own."""
    text = gpus.nvidia_smi()
    assert gpus.MARK in text
    program = tmp_path / "nvidia-smi"
    program.write_text(text.replace("/etc/provision-lab/gpus", str(tmp_path / "gpus")))
    (tmp_path / "gpus").write_text(gpus.of_host("unit", "gpu-01", 0, count=2).text())
    return program


def ask(program: Path, *argv: str) -> tuple[int, str]:
    done = subprocess.run(["sh", program, *argv], capture_output=True, text=True)
    assert not done.stderr
    return done.returncode, done.stdout


def test_nvidia_smi_lists(smi: Path) -> None:
    first, second = (identifier for identifier, _ in gpus.of_host("unit", "gpu-01", 0, count=2).devices)
    name = "NVIDIA A100-SXM4-80GB"
    assert ask(smi, "-L") == (0, f"GPU 0: {name} (UUID: {first})\nGPU 1: {name} (UUID: {second})\n")
    assert ask(smi, "-L", "-i", "1") == (0, f"GPU 1: {name} (UUID: {second})\n")
    assert ask(smi, "-L", "-i", "2") == (6, "No devices were found\n")


def test_nvidia_smi_answers_queries(smi: Path) -> None:
    fields = "driver_version,index,name,memory.total,compute_cap,count"
    assert ask(smi, f"--query-gpu={fields}", "--format=csv,noheader,nounits") == (
        0,
        "535.104.05, 0, NVIDIA A100-SXM4-80GB, 81920, 8.0, 2\n535.104.05, 1, NVIDIA A100-SXM4-80GB, 81920, 8.0, 2\n",
    )
    assert ask(smi, "--query-gpu=index, memory.total", "--format=csv") == (
        0,
        "index, memory.total [MiB]\n0, 81920 MiB\n1, 81920 MiB\n",
    )
    assert ask(smi, "--query-compute-apps=pid,name", "--format=csv,noheader") == (0, "")
    code, text = ask(smi, "--query-gpu=index,nonsense", "--format=csv,noheader")
    assert (code, text.splitlines()[0]) == (2, 'Field "nonsense" is not a valid field to query.')


def test_nvidia_smi_alone_says_that_it_is_simulated(smi: Path) -> None:
    code, text = ask(smi)
    assert code == 0
    assert "Driver Version: 535.104.05" in text
    assert "CUDA Version: 12.2" in text
    assert "simulated" in text


def test_nvidia_smi_fails_as_told(smi: Path, tmp_path: Path) -> None:
    message = "Failed to initialize NVML: Driver/library version mismatch"
    (tmp_path / "gpus").write_text(gpus.Gpus((), failure=(18, message)).text())
    assert ask(smi, "-L") == (18, message + "\n")
    (tmp_path / "gpus").write_text(gpus.Gpus(()).text())
    assert ask(smi, "-L") == (6, "No devices were found\n")
