"""Environments out to standard files and in from them, and the difference between two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from provision.conda.compare import Difference, compare
from provision.conda.environment import read
from provision.conda.export import channels_of, environment_yml, explicit
from provision.conda.importing import imported
from provision.errors import ProvisionError

SCHEMA = json.loads((Path(__file__).parent / "environment_schema.json").read_text())
MIRRORS = {"https://conda.anaconda.org/conda-forge": "http://reader:pw@mirror.example/forge"}


def conda(name: str, version: str, build: str, channel: str = "conda-forge", **more: Any) -> dict[str, Any]:
    url = f"https://conda.anaconda.org/{channel}/linux-64/{name}-{version}-{build}.conda"
    return {
        "name": name,
        "version": version,
        "build": build,
        "channel": channel,
        "subdir": "linux-64",
        "url": url,
        **more,
    }


def pip(name: str, version: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "version": version, "editable": False, "direct_url": None, **more}


LISTING: dict[str, Any] = {
    "packages": [
        conda("numpy", "1.26.4", "py311_0", sha256="a" * 64),
        conda("pytorch", "2.0.1", "py3.11_cuda11.8_0", "pytorch", sha256="b" * 64),
        {
            **conda("python", "3.11.9", "h1_0", md5="c" * 32),
            "url": "http://mirror.example/forge/linux-64/python-3.11.9-h1_0.conda",
        },
    ],
    "pip": [
        pip("diffusers", "0.26.3"),
        pip("Numpy", "1.26.3"),
        pip(
            "thing",
            "1.0",
            direct_url={"url": "https://git.example/thing", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
        ),
        pip(
            "wheel-of", "2.0", direct_url={"url": "https://x.example/wheel_of-2.0-py3-none-any.whl", "archive_info": {}}
        ),
        pip("mine", "0.1", editable=True, direct_url={"url": "file:///srv/mine", "dir_info": {"editable": True}}),
    ],
    "python": "3.11.9",
    "variables": {"HF_HOME": "/data", "DEBUG": "yes"},
}


def test_an_environment_is_written_to_the_letter_of_the_format(snapshot: SnapshotAssertion) -> None:
    written = environment_yml("img2video", LISTING, MIRRORS, title="Environment `img2video` of gpu-01, as installed.")
    assert written.text == snapshot
    assert written.notes == snapshot
    jsonschema.validate(yaml.safe_load(written.text), SCHEMA)


def test_versions_without_builds_read_back_as_pins(tmp_path: Path) -> None:
    written = environment_yml("img2video", {**LISTING, "pip": [pip("six", "1.17.0")]}, MIRRORS, builds=False)
    path = tmp_path / "environment.yml"
    path.write_text(written.text)
    environment = read(path)
    assert [(spec.name, spec.exact) for spec in environment.conda] == [
        ("numpy", "1.26.4"),
        ("pytorch", "2.0.1"),
        ("python", "3.11.9"),
        ("pip", ""),
    ]
    assert [(line.name, line.exact) for line in environment.pip] == [("six", "1.17.0")]


def test_versions_that_yaml_would_eat_stay_text() -> None:
    listing = {"packages": [conda("tool", "1.10", "0")], "pip": [], "variables": {"A": "no", "B": "1e3", "C": "0o7"}}
    text = environment_yml("1e3", listing, {}).text
    assert "name: '1e3'" in text
    document = yaml.safe_load(text)
    jsonschema.validate(document, SCHEMA)
    assert document["name"] == "1e3"
    assert document["variables"] == {"A": "no", "B": "1e3", "C": "0o7"}


def test_a_virtual_environment_asks_for_its_python() -> None:
    written = environment_yml("venv", {"packages": [], "pip": [pip("six", "1.17.0")], "python": "3.10.12"}, {})
    document = yaml.safe_load(written.text)
    assert document["dependencies"] == ["python=3.10.12", "pip", {"pip": ["six==1.17.0"]}]
    assert document["channels"] == ["conda-forge", "nodefaults"]


def test_what_reads_back_as_something_else_is_refused() -> None:
    listing = {"packages": [conda("good", "1", "0"), {"name": "no name", "version": "1"}], "pip": []}
    with pytest.raises(ProvisionError, match="does not read back"):
        environment_yml("tool", listing, {})


def test_channels_in_the_order_that_strict_priority_needs() -> None:
    packages = [
        conda("a", "1", "0"),
        conda("b", "1", "0", "zeta"),
        conda("c", "1", "0", "nvidia"),
        conda("d", "1", "0", "pytorch"),
        {
            "name": "e",
            "version": "1",
            "url": "https://repo.anaconda.com/pkgs/main/linux-64/e-1-0.conda",
            "subdir": "linux-64",
        },
        {"name": "f", "version": "1", "channel": "https://own.example/c/noarch", "subdir": "noarch"},
        {"name": "g", "version": "1", "channel": "pypi"},
    ]
    assert channels_of(packages, {}) == [
        "pytorch",
        "nvidia",
        "https://own.example/c",
        "zeta",
        "conda-forge",
        "defaults",
    ]
    assert channels_of(packages[:1], {}) == ["conda-forge", "nodefaults"]


def test_an_explicit_list(snapshot: SnapshotAssertion) -> None:
    written = explicit(LISTING, MIRRORS)
    assert "pw" not in written.text
    assert written.text == snapshot
    assert written.notes == ("5 packages of pip are not in it: the format has no place for them",)
    with pytest.raises(ProvisionError, match="cannot be written as @EXPLICIT") as caught:
        explicit({"packages": [{"name": "x", "version": "1"}], "pip": []}, {})
    assert str(caught.value) == snapshot


def test_what_differs_between_two() -> None:
    other = {
        **LISTING,
        "packages": [LISTING["packages"][0], conda("pytorch", "2.0.1", "cpu_0", "pytorch"), conda("zlib", "1.3", "0")],
        "pip": [pip("Diffusers", "0.26.3"), *LISTING["pip"][1:3], pip("mine", "0.1")],
        "variables": {"HF_HOME": "/other", "DEBUG": "yes"},
    }
    assert compare(LISTING, LISTING) == []
    assert compare(LISTING, other) == [
        Difference("conda", "python", "3.11.9 h1_0", ""),
        Difference("conda", "pytorch", "2.0.1 py3.11_cuda11.8_0", "2.0.1 cpu_0"),
        Difference("conda", "zlib", "", "1.3 0"),
        Difference("pip", "mine", "0.1 from file:///srv/mine", "0.1"),
        Difference("pip", "wheel-of", "2.0 from https://x.example/wheel_of-2.0-py3-none-any.whl", ""),
        Difference("variable", "HF_HOME", "/data", "/other"),
    ]


REQUIREMENTS = """\
# what the app needs
torch==2.6.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
numpy>=2,<3  # held
--extra-index-url https://x.example/simple
--trusted-host x.example
-r more/base.txt
-c constraints.txt
-e git+https://github.com/a/b.git#egg=b
"""


def test_a_requirements_file_and_those_that_it_names(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    folder = tmp_path / "My App"
    (folder / "more").mkdir(parents=True)
    (folder / "requirements.txt").write_text(REQUIREMENTS)
    (folder / "more" / "base.txt").write_text('einops==0.7.0 ; python_version > "3.8"\n')
    found = imported(folder / "requirements.txt", None, None)
    assert (found.name, found.text, found.notes) == ("my-app", snapshot, snapshot)
    jsonschema.validate(yaml.safe_load(found.text), SCHEMA)
    (folder / "more" / "base.txt").write_text("-r ../requirements.txt\n")
    with pytest.raises(ProvisionError, match="includes itself"):
        imported(folder / "requirements.txt", None, None)


PIPFILE = {
    "_meta": {
        "requires": {"python_version": "3.10"},
        "sources": [{"url": "https://pypi.org/simple"}, {"url": "https://x.example/simple/"}],
    },
    "default": {
        "six": {"version": "==1.16.0", "hashes": ["sha256:aa"], "markers": "python_version >= '3'", "index": "pypi"},
        "requests": {"version": "==2.32.0", "extras": ["socks"]},
        "thing": {"git": "https://git.example/thing.git", "ref": "abc"},
    },
    "develop": {"pytest": {"version": "==8.0"}},
}


def test_a_lock_of_pipenv(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    path = tmp_path / "Pipfile.lock"
    path.write_text(json.dumps(PIPFILE))
    found = imported(path, "tool", None)
    assert (found.text, found.notes) == (snapshot, ("left out: 1 packages of `develop`",))
    jsonschema.validate(yaml.safe_load(found.text), SCHEMA)


def test_an_environment_of_somebody_keeps_its_comments(tmp_path: Path) -> None:
    path = tmp_path / "env.yaml"
    path.write_text("name: old # theirs\n# why\ndependencies:\n  - python=3.11 # held\nprefix: /home/x/envs/old\n")
    found = imported(path, None, None)
    assert found.name == "old"
    assert found.text == (
        "name: old # theirs\n# why\nchannels: [conda-forge, nodefaults]\ndependencies:\n  - python=3.11 # held\n"
    )
    assert len(found.notes) == 2
    (tmp_path / "again.yml").write_text(found.text)
    assert imported(tmp_path / "again.yml", None, None).text == found.text
    assert imported(tmp_path / "again.yml", "new", None).text.startswith("name: new\n")
    path.write_text("dependencies: [python=3.11]\n")
    assert imported(path, None, None, "role").text.startswith("name: role\nchannels:")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.txt", "# nothing\n"),
        ("Pipfile.lock", '{"default": []}'),
        ("env.yml", "name: x\n"),
        ("env.yml", "a: [\n"),
        ("requirements.txt", "-r gone.txt\n"),
    ],
)
def test_a_file_that_is_none_of_them(name: str, text: str, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ProvisionError) as caught:
        imported(path, None, None)
    assert str(caught.value).replace(f"{tmp_path}/", "") == snapshot


def test_no_credential_of_a_host_is_written() -> None:
    url = "https://conda.anaconda.org/t/ab-0123-cd/private/linux-64/alpha-1.0-h0_0.conda"
    other = "https://me:pw@repo.example/t/ab-0123-cd/chan/linux-64/omega-1.0-h0_0.conda"
    origin = {"url": "https://me:pw@index.example/beta-1.0-py3-none-any.whl"}
    packages = [conda("alpha", "1.0", "h0_0", "private", url=url), conda("omega", "1.0", "h0_0", "chan", url=other)]
    found = {"packages": packages, "pip": [pip("beta", "1.0", direct_url=origin)], "python": "3.11"}
    text = environment_yml("env", found, {}).text + explicit(found, {}).text
    assert "ab-0123-cd" not in text and "pw" not in text
    assert "- private\n" in text and "- https://repo.example/chan\n" in text
    assert "beta @ https://index.example/beta-1.0-py3-none-any.whl" in text


@pytest.mark.parametrize(
    "package",
    [
        pip("beta --index-url http://evil.example", "1.0"),
        pip("beta", "1.0\n--index-url http://evil.example"),
        pip("--index-url=http://evil.example", "1.0"),
        pip("beta", "1.0", direct_url={"url": "https://h/b.whl --index-url http://evil.example"}),
        pip("beta", "1.0", direct_url={"url": "https://h/b", "vcs_info": {"vcs": "git", "commit_id": "0\n-e evil"}}),
    ],
)
def test_what_a_host_says_is_no_option_of_pips(package: dict[str, Any]) -> None:
    found = {"packages": [conda("python", "3.11", "h0_0")], "pip": [package], "python": "3.11"}
    written = environment_yml("env", found, {})
    assert yaml.safe_load(written.text)["dependencies"] == ["python=3.11=h0_0"]
    assert "which would be no line of pip's" in written.notes[0]
