"""Matrices of two dimensions, as far as a compute probe needs them; computed by numpy where it is there."""

import importlib
import random
from collections.abc import Callable
from typing import Any, Union

from . import cuda

try:
    _numpy: Any = importlib.import_module("numpy")
except ImportError:
    _numpy = None
if getattr(_numpy, "__provision_simulated__", False):
    _numpy = None

_Rows = list[list[float]]


class device:  # noqa: N801
    """The name of a place to compute at: "cpu", "cuda" or "cuda:1"."""

    def __init__(self, name: object, index: int | None = None) -> None:
        text = str(name) if index is None else f"{name}:{index}"
        kind, _, number = text.partition(":")
        self.type = kind
        self.index = int(number) if number else None
        if kind == "cuda":
            cuda.get_device_properties(text)
        elif kind != "cpu":
            raise RuntimeError(f"the stand-in of torch knows no device {text}")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device(type={self.type!r}, index={self.index})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (device, str)) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class Tensor:
    """A matrix at a device; one row of one number is what sums give."""

    def __init__(self, rows: _Rows, place: object = "cpu") -> None:
        self._rows = rows
        self.device = place if isinstance(place, device) else device(place or "cpu")

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._rows), len(self._rows[0])

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def T(self) -> "Tensor":  # noqa: N802
        return Tensor([list(column) for column in zip(*self._rows, strict=True)], self.device)

    def to(self, place: object = None, dtype: object = None, **_: object) -> "Tensor":
        del dtype
        return Tensor(
            self._rows, place if isinstance(place, (str, device)) and "float" not in str(place) else self.device
        )

    def cuda(self, index: int = 0) -> "Tensor":
        return self.to(f"cuda:{index}")

    def cpu(self) -> "Tensor":
        return self.to("cpu")

    def tolist(self) -> _Rows:
        return [list(row) for row in self._rows]

    def item(self) -> float:
        if self.shape != (1, 1):
            raise RuntimeError("a Tensor with more than one element cannot be converted to Scalar")
        return self._rows[0][0]

    def sum(self) -> "Tensor":
        return Tensor([[sum(map(sum, self._rows))]], self.device)

    def mean(self) -> "Tensor":
        return Tensor([[self.sum().item() / (self.shape[0] * self.shape[1])]], self.device)

    def __float__(self) -> float:
        return self.item()

    def __matmul__(self, other: "Tensor") -> "Tensor":
        return matmul(self, other)

    def __add__(self, other: Union["Tensor", float]) -> "Tensor":
        return self._with(other, lambda one, two: one + two)

    def __sub__(self, other: Union["Tensor", float]) -> "Tensor":
        return self._with(other, lambda one, two: one - two)

    def __mul__(self, other: Union["Tensor", float]) -> "Tensor":
        return self._with(other, lambda one, two: one * two)

    def __repr__(self) -> str:
        return f"tensor of {self.shape[0]}x{self.shape[1]} at {self.device} (simulated)"

    def _with(self, other: Union["Tensor", float], do: Callable[[float, float], float]) -> "Tensor":
        rows = other._rows if isinstance(other, Tensor) else [[other] * self.shape[1]] * self.shape[0]
        pairs = zip(self._rows, rows, strict=True)
        return Tensor([[do(x, y) for x, y in zip(one, two, strict=True)] for one, two in pairs], self.device)


def matmul(one: Tensor, two: Tensor) -> Tensor:
    """The product of two matrices at one device; raises RuntimeError where shapes or devices do not fit."""
    if one.device != two.device:
        raise RuntimeError("Expected all tensors to be on the same device")
    if one.shape[1] != two.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({one.shape} and {two.shape})")
    return Tensor(_product(one._rows, two._rows), one.device)


def tensor(rows: Any, device: object = None, dtype: object = None) -> Tensor:
    del dtype
    nested = rows if isinstance(rows, (list, tuple)) else [rows]
    matrix = nested if isinstance(nested[0], (list, tuple)) else [nested]
    return Tensor([[float(number) for number in row] for row in matrix], device)


def zeros(*size: Any, device: object = None, dtype: object = None) -> Tensor:
    del dtype
    return _filled(size, device, lambda: 0.0)


def ones(*size: Any, device: object = None, dtype: object = None) -> Tensor:
    del dtype
    return _filled(size, device, lambda: 1.0)


def rand(*size: Any, device: object = None, dtype: object = None) -> Tensor:
    del dtype
    return _filled(size, device, random.random)


def randn(*size: Any, device: object = None, dtype: object = None) -> Tensor:
    del dtype
    return _filled(size, device, lambda: random.gauss(0.0, 1.0))


def manual_seed(seed: int) -> None:
    random.seed(seed)


def allclose(one: Tensor, two: Tensor, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    if one.shape != two.shape:
        return False
    pairs = zip((x for row in one._rows for x in row), (x for row in two._rows for x in row), strict=True)
    return all(abs(x - y) <= atol + rtol * abs(y) for x, y in pairs)


def _filled(size: tuple[Any, ...], place: object, number: Callable[[], float]) -> Tensor:
    sizes = tuple(size[0]) if isinstance(size[0], (list, tuple)) else size
    height, width = (1, *sizes)[-2:]
    return Tensor([[number() for _ in range(width)] for _ in range(height)], place)


def _product(one: _Rows, two: _Rows) -> _Rows:
    if _numpy is not None:
        product: _Rows = (_numpy.array(one) @ _numpy.array(two)).tolist()
        return product
    columns = list(zip(*two, strict=True))
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in one]
