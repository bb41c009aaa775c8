"""The stand-in of torch: what it says about GPUs, and that it multiplies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provision.lab import gpus, stubs, stubs_torch

SMI = """#!/bin/sh
# {mark}
echo "0, GPU-aaaa, NVIDIA A10, 23028, 8.6, 535.104.05"
echo "1, GPU-bbbb, NVIDIA H100, 81559, 9.0, 535.104.05"
"""


class Site:
    """A folder with the packed stand-in, and a `bin` for programs of the host."""

    def __init__(self, folder: Path, version: str = "2.0.1", cuda: str = "11.8") -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        for path, text in stubs.modules(stubs.Stub("torch", version, ["torch"], cuda=cuda)).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)

    def nvidia_smi(self, mark: str = gpus.MARK) -> None:
        program = self.bin / "nvidia-smi"
        program.write_text(SMI.format(mark=mark))
        program.chmod(0o755)

    def python(self, code: str, **variables: str) -> str:
        environment = {"PATH": f"{self.bin}:/usr/bin:/bin", **variables}
        argv = [sys.executable, "-B", "-c", f"import torch\n{code}"]
        done = subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60)
        return (done.stdout or done.stderr.splitlines()[-1]).strip()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_it_says_which_build_it_stands_for(site: Site) -> None:
    code = "print(torch.__version__, torch.version.cuda, torch.__provision_simulated__)"
    assert site.python(code) == "2.0.1 11.8 True"


def test_without_gpus_none_is_available(site: Site) -> None:
    assert site.python("print(torch.cuda.is_available(), torch.cuda.device_count())") == "False 0"
    assert site.python("torch.ones(2, 2, device='cuda')") == "RuntimeError: No CUDA GPUs are available"


def test_the_simulated_gpus_are_there(site: Site) -> None:
    site.nvidia_smi()
    code = "print(torch.cuda.is_available(), torch.cuda.device_count(), torch.cuda.get_device_name(1))"
    assert site.python(code) == "True 2 NVIDIA H100"
    assert site.python("print(torch.cuda.get_device_capability(0))") == "(8, 6)"
    assert site.python("torch.cuda.get_device_name(2)") == "RuntimeError: CUDA error: invalid device ordinal"


def test_a_real_gpu_is_never_reported(site: Site) -> None:
    site.nvidia_smi(mark="the real one")
    assert site.python("print(torch.cuda.is_available())") == "False"


def test_a_build_without_cuda_sees_no_gpu(tmp_path: Path) -> None:
    site = Site(tmp_path, cuda="")
    site.nvidia_smi()
    assert site.python("print(torch.version.cuda, torch.cuda.is_available())") == "None False"


@pytest.mark.parametrize(("wanted", "count"), [("", 0), ("0", 1), ("1,0", 2), ("GPU-bbbb", 1), ("7", 0), ("0,7,1", 1)])
def test_what_a_process_may_see(site: Site, wanted: str, count: int) -> None:
    site.nvidia_smi()
    assert site.python("print(torch.cuda.device_count())", CUDA_VISIBLE_DEVICES=wanted) == str(count)


def test_a_product_at_a_simulated_gpu(site: Site) -> None:
    site.nvidia_smi()
    code = """
a = torch.tensor([[1, 2], [3, 4]], device="cuda:1")
b = a @ torch.ones(2, 2).cuda(1)
torch.cuda.synchronize()
print(b.tolist(), b.device, b.is_cuda, b.cpu().sum().item())"""
    assert site.python(code) == "[[3.0, 3.0], [7.0, 7.0]] cuda:1 True 20.0"


def test_matrices() -> None:
    torch = stubs_torch
    one = torch.tensor([[1, 2, 3]])
    assert torch.matmul(one, one.T).item() == 14
    assert (one * 2 - one + 1).tolist() == [[2.0, 3.0, 4.0]]
    assert torch.zeros((2, 3)).shape == (2, 3)
    assert torch.rand(4).shape == (1, 4)
    assert one.mean().item() == 2
    torch.manual_seed(7)
    first = torch.randn(3, 3)
    torch.manual_seed(7)
    assert torch.allclose(first, torch.randn(3, 3))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        _ = one @ one
    with pytest.raises(RuntimeError, match="knows no device"):
        one.to("tpu")


@pytest.mark.parametrize(
    ("torch", "mkl", "fails"),
    [
        ("2.0.1", "2024.1.0", True),
        ("2.0.1", "2024.0.0", False),
        ("2.0.1", "2023.2.0", False),
        ("2.1.2", "2024.2.2", False),
    ],
)
def test_torch_2_0_breaks_beside_a_new_mkl_as_the_real_one(tmp_path: Path, torch: str, mkl: str, fails: bool) -> None:
    site = Site(tmp_path, version=torch)
    meta = tmp_path / "prefix/conda-meta"
    meta.mkdir(parents=True)
    (meta / f"mkl-{mkl}-h0_0.json").touch()
    code = f"import sys; sys.prefix = {str(meta.parent)!r}; import torch; print('fine')"
    argv = [sys.executable, "-B", "-c", code]
    done = subprocess.run(argv, cwd=site.folder, env=dict(os.environ), capture_output=True, text=True, timeout=60)
    assert ("undefined symbol: iJIT_NotifyEvent" in done.stderr) == fails
    assert (done.stdout == "fine\n") != fails
