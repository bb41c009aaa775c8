"""The rules, each with a file that it finds and the words that it says instead."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from provision.conda import capability, recipes
from provision.conda.environment import Environment, read
from provision.conda.lint import lint, refuse
from provision.conda.mirrors import Settings
from provision.errors import ProvisionError, ProvisionErrors

Make = Callable[..., Environment]
GOOD = (
    "python=3.11",
    "pip",
    "pytorch=2.0.1",
    "torchvision=0.15.2",
    "torchaudio=2.0.2",
    "pytorch-cuda=11.8",
    "mkl<2024.1",
    "numpy=1.26.4",
)


def found(environment: Environment, settings: Settings | None = None) -> dict[str, str]:
    return {finding.rule.id: finding.hint for finding in lint(environment, settings)}


def test_the_proven_set_is_without_findings(environment: Make) -> None:
    assert found(environment(*GOOD, pip=("diffusers==0.26.3", "huggingface_hub==0.25.2"))) == {}


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("roles/*/environment.yml")), ids=lambda p: p.parent.name
)
def test_the_shipped_environments_have_no_findings(path: Path) -> None:
    assert found(read(path)) == {}


@pytest.mark.parametrize(
    ("rule", "conda", "pip", "hint"),
    [
        ("torch-set", ("pytorch=2.0.1", "torchvision=0.15.1"), (), "`torchvision=0.15.2`"),
        ("torch-set", ("pytorch=2.0.1", "torchaudio=2.0.1"), (), "`torchaudio=2.0.2`"),
        ("torch-set", (), ("torch==2.0.1", "torchvision==0.15.1"), "`torchvision==0.15.2`"),
        ("torch-set", (), ("torch==2.0.1+cu118", "torchaudio==2.0.1+cu118"), "`torchaudio==2.0.2`"),
        ("torch-python", ("pytorch=2.0.1", "python=3.12"), (), "`python=3.11`"),
        ("torch-cuda", ("pytorch=2.0.1", "pytorch-cuda=12.1"), (), "`pytorch-cuda=11.8`"),
        ("torch-channel-ended", ("pytorch=2.6.0", "pytorch-cuda=12.4"), (), "conda-forge"),
        ("two-cudas", ("pytorch-cuda=11.8", "cuda-version=12.4"), (), "`cuda-version=11.8`"),
        ("two-torches", ("pytorch=2.0.1",), ("triton==2.0.0",), "remove"),
        ("mkl-torch", ("pytorch=2.0.1",), (), "`mkl<2024.1`"),
        ("mkl-torch", ("pytorch=2.0.1", "mkl=2024.1"), (), "`mkl<2024.1`"),
        ("mkl-torch", ("pytorch=2.0.1", "mkl<=2024.1"), (), "`mkl<2024.1`"),
        ("floating-pip", ("pytorch=2.0.1",), ("diffusers>=0.26",), "`diffusers==VERSION`"),
        ("pip-wheels-only", (), ("git+https://github.com/someone/thing.git@main",), "`thing==VERSION`"),
        ("pip-wheels-only", (), ("-e .",), "--find-links"),
        ("pip-wheels-only", (), ("./thing-1.0.tar.gz",), "`thing==VERSION`"),
        ("pip-wheels-only", (), ("thing @ https://x.example/thing-1.0.tar.gz",), "--find-links"),
        ("pip-nested", (), ("-r requirements.txt",), "write the lines of that file here"),
        ("pip-option", (), ("--trusted-host x.example",), "index_mirrors"),
        ("pip-undeclared", (), ("six==1.17.0",), "`pip`"),
        ("twice", ("numpy=1.26.4", "numpy"), (), "one of the two"),
        ("twice", ("numpy=1.26.4",), ("numpy==1.26.4",), "conda line"),
    ],
)
def test_what_is_known_to_go_wrong_is_found(
    environment: Make, rule: str, conda: tuple[str, ...], pip: tuple[str, ...], hint: str
) -> None:
    base = () if any(line.startswith("python=") for line in conda) else ("python=3.11",)
    findings = found(environment(*base, *conda, pip=pip, name="plain-name"))
    assert hint in findings[rule]


def test_an_open_python_and_a_missing_one(environment: Make) -> None:
    assert "python-open" in found(environment("python"))
    assert "pip-without-python" in found(environment("numpy", pip=("six==1.17.0",)))


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("video-torch28", "video-torch20"),
        ("video-cu121", "video-cu118"),
        ("video-py310", "video-py311"),
        ("torch2.1-x", "torch20-x"),
    ],
)
def test_a_name_that_lies(environment: Make, name: str, right: str) -> None:
    assert found(environment(*GOOD, name=name)) == {"name-lies": f"write `name: {right}`"}


@pytest.mark.parametrize("name", ["video-torch2", "video-torch20-cu118", "sd15", "video-py311", "flux1-dev-2024"])
def test_a_name_that_tells_the_truth(environment: Make, name: str) -> None:
    assert found(environment(*GOOD, name=name)) == {}


def test_what_conda_forge_builds_is_not_judged_by_the_table_of_torchs_own_builds(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    text = "name: tool\nchannels: [conda-forge, nodefaults]\n"
    text += "dependencies: [python=3.12, pytorch=2.1.2, cuda-version=12.1]\n"
    path.write_text(text)
    kepler = capability.Kind("K80", "3.7")
    assert "torch-python" not in found(read(path))
    assert [f.summary for f in lint(read(path), None, [kepler]) if f.rule.id == "cuda-capability"] == [
        "CUDA 12.1 has code for 5.0 to 9.0, none for K80 (3.7)"
    ]
    path.write_text(text.replace("[conda-forge", "[pytorch, conda-forge"))
    assert "torch-python" in found(read(path))


@pytest.mark.parametrize("row", recipes.torch_sets(), ids=lambda row: row["torch"])
def test_each_set_of_torch_is_let_through_and_its_neighbour_is_not(environment: Make, row: dict[str, Any]) -> None:
    def asked(vision: str, audio: str) -> dict[str, str]:
        pip = (f"torch=={row['torch']}", f"torchvision=={vision}", f"torchaudio=={audio}")
        return found(environment(f"python={row['python'][0]}", "pip", pip=pip, name="tool"))

    for vision in row["torchvision"]:
        assert "torch-set" not in asked(vision, row["torchaudio"][0])
    other = "0.9.0" if row["torch"] != "1.12.1" else "0.15.2"
    assert f"torchvision=={row['torchvision'][0]}" in asked(other, row["torchaudio"][0])["torch-set"]


def test_the_sets_of_torch_are_in_order_and_of_one_age() -> None:
    rows = recipes.torch_sets()
    for one, other in itertools.pairwise(rows):
        assert recipes.below(one["torch"], other["torch"])
        assert not recipes.below(other["torchvision"][0], one["torchvision"][0])
        assert not recipes.below(other["torchaudio"][0], one["torchaudio"][0])
    assert all(row["pypi_cuda"] in row["cuda"] for row in rows if row["cuda"])


def test_the_drivers_of_cuda_rise_with_it() -> None:
    drivers = recipes.data()["cuda"]["toolkit_driver"]
    for (one, own), (other, later) in itertools.pairwise(drivers.items()):
        assert recipes.below(one, other)
        assert recipes.below(own, later)
    assert all(
        not recipes.below(own, recipes.oldest_driver(cuda) or "") for cuda, own in drivers.items() if cuda != "11.0"
    )


@pytest.mark.parametrize("name", ["myenv", "test", "env1", "Torch_Env"])
def test_a_name_that_says_nothing(environment: Make, name: str) -> None:
    assert "name-meaningless" in found(environment("python=3.11", name=name))


def test_a_path_that_scripts_cannot_name(environment: Make) -> None:
    name = "a" * 60
    assert found(environment("python=3.11", name=name), Settings(root="/opt/conda")) == {}
    too_long = found(environment("python=3.11", name=name), Settings(root="/srv/somewhere/deep"))
    assert list(too_long) == ["prefix-length"]


@pytest.mark.parametrize(
    ("driver", "rule"),
    [("440.33", "cuda-driver"), ("470.82.01", "cuda-toolkit-driver"), ("520.61.05", None), (None, None)],
)
def test_the_oldest_driver_of_the_fleet(environment: Make, driver: str | None, rule: str | None) -> None:
    assert list(found(environment(*GOOD), Settings(driver=driver))) == ([rule] if rule else [])


def test_channels(tmp_path: Path) -> None:
    path = tmp_path / "environment.yml"
    path.write_text("name: tool\nchannels: [defaults]\ndependencies: [python=3.11]\n")
    assert list(found(read(path))) == ["defaults-licence"]
    path.write_text("name: tool\nchannels: [conda-forge]\ndependencies: [python=3.11]\n")
    assert list(found(read(path))) == ["nodefaults"]
    path.write_text("name: tool\nchannels: [conda-forge, nodefaults]\ndependencies: [python=3.11, pytorch-cuda=11.8]\n")
    assert "`pytorch`" not in found(read(path))["torch-channel"]


def test_strict_makes_warnings_errors_and_leaves_notices(environment: Make) -> None:
    findings = lint(environment("python=3.11", pip=("six",), name="myenv"))
    assert {finding.rule.severity for finding in findings} == {"warning", "notice"}
    refuse(findings)
    with pytest.raises(ProvisionError, match="myenv"):
        refuse(findings, strict=True)


def test_all_errors_are_told_together(environment: Make) -> None:
    with pytest.raises(ProvisionErrors) as caught:
        refuse(lint(environment("python=3.11", pip=("-e .", "git+https://x.example/y"))))
    assert len(caught.value.errors) == 2


CASES = yaml.safe_load((Path(__file__).parent / "rules.yaml").read_text())


def test_every_rule_has_a_case() -> None:
    assert list(CASES) == [rule.id for rule in recipes.rules()]


@pytest.mark.parametrize("name", CASES)
def test_a_rule_finds_the_bad_file_and_leaves_the_good_one_alone(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    settings = Settings(**case.get("settings", {}))
    gpus = [kind for word in case.get("gpus", ()) if (kind := capability.kind(word))]
    path = tmp_path / "environment.yml"
    path.write_text(case["bad"])
    found = [finding for finding in lint(read(path), settings, gpus) if finding.rule.id == name]
    assert [(f.summary, f.where and f"{f.where.line}:{f.where.column}", f.hint, f.rule.severity) for f in found] == [
        (case["says"], case["at"], case["mend"], case.get("severity", recipes.rule(name).severity))
    ]
    path.write_text(case["good"])
    assert [finding.summary for finding in lint(read(path), settings, gpus) if finding.rule.id == name] == []


@pytest.mark.parametrize("name", recipes.data()["rules"])
def test_every_rule_says_why_and_where_that_comes_from(name: str) -> None:
    rule = recipes.rule(name)
    assert rule.severity in ("error", "warning", "notice")
    assert rule.reason and rule.source and rule.mend
    assert not rule.reason.endswith(".")
