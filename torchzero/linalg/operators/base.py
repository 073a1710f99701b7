"""Operator: a symmetric-looking matrix known by what it does to vectors; a pytree, so it can be batched and carried."""

import abc
import dataclasses
import sys
from typing import Any

import torch
from torch import Tensor

from torchzero.core.registration import register_dataclass_node

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform  # torch depends on it


def structure() -> Any:
    """Declare a field of an operator that is part of its structure, not a tensor."""
    return dataclasses.field(metadata={"kind": "static"})


def _dynamic(field: dataclasses.Field[Any], value: Any) -> bool:
    return field.metadata.get("kind") != "static"


@dataclass_transform(frozen_default=True, eq_default=False)
class Operator(abc.ABC):
    """A model B of the Hessian of a function of n numbers.

    Its fields are tensors, and the leaves of a pytree: an operator can be returned from `torch.vmap` and carried by a
    loop. Vectors are (n,). Where B has no inverse, `solve` returns what is not finite, unless a class says otherwise.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        register_dataclass_node(cls, _dynamic)

    @abc.abstractmethod
    def matvec(self, x: Tensor) -> Tensor:
        """Bx: (n,)."""

    @abc.abstractmethod
    def solve_shifted(self, x: Tensor, shift: Tensor | float) -> Tensor:
        """(B + diag(shift))⁻¹x: (n,); the shift is one number or (n,)."""

    @abc.abstractmethod
    def diagonal(self) -> Tensor:
        """The diagonal of B: (n,)."""

    @abc.abstractmethod
    def to_dense(self) -> Tensor:
        """B itself: (n, n)."""

    def solve(self, x: Tensor) -> Tensor:
        """B⁻¹x: (n,)."""
        return self.solve_shifted(x, 0.0)


def solve_dense(A: Tensor, x: Tensor) -> Tensor:
    """A⁻¹x by LU for A (k, k) and x (k,); not finite where A is singular or not finite."""
    A = A + 0.0  # a matrix and its transpose share storage, which compiled loops do not allow
    return torch.linalg.solve_ex(A, x.unsqueeze(-1))[0].squeeze(-1)


def as_vector(shift: Tensor | float, like: Tensor) -> Tensor:
    """A shift as a vector with the form of `like`."""
    return torch.zeros_like(like) + shift
