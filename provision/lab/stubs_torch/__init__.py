"""A stand-in of torch, made by provision's lab: it answers about versions and simulated GPUs, and multiplies matrices.

Everything that it says about GPUs is simulated; `__provision_simulated__` tells so. Packed under the name `torch`, so
only relative imports, and only the standard library (numpy where it is there).
"""

from . import cuda, version
from ._mkl import check as _check_mkl
from ._tensor import Tensor, allclose, device, manual_seed, matmul, ones, rand, randn, tensor, zeros

_check_mkl()

__provision_simulated__ = True
__version__ = version.__version__

bfloat16 = "torch.bfloat16"
float16 = half = "torch.float16"
float32 = "torch.float32"
mm = matmul

__all__ = [
    "Tensor",
    "allclose",
    "bfloat16",
    "cuda",
    "device",
    "float16",
    "float32",
    "half",
    "manual_seed",
    "matmul",
    "mm",
    "ones",
    "rand",
    "randn",
    "tensor",
    "version",
    "zeros",
]
