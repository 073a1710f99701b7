"""CustomUnaryOperation: an elementwise function by its name."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import static
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform

FUNCTIONS: MappingProxyType[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "abs": torch.abs,
        "sign": torch.sign,
        "neg": torch.neg,
        "reciprocal": torch.reciprocal,
        "square": torch.square,
        "sqrt": safe_sqrt,
        "sin": torch.sin,
        "cos": torch.cos,
        "tan": torch.tan,
        "asin": torch.asin,
        "acos": torch.acos,
        "atan": torch.atan,
        "sinh": torch.sinh,
        "cosh": torch.cosh,
        "tanh": torch.tanh,
        "asinh": torch.asinh,
        "acosh": torch.acosh,
        "atanh": torch.atanh,
        "exp": torch.exp,
        "exp2": torch.exp2,
        "expm1": torch.expm1,
        "log": torch.log,
        "log1p": torch.log1p,
        "log2": torch.log2,
        "log10": torch.log10,
        "erf": torch.erf,
        "erfc": torch.erfc,
        "sigmoid": torch.sigmoid,
        "floor": torch.floor,
        "ceil": torch.ceil,
        "round": torch.round,
        "trunc": torch.trunc,
        "frac": torch.frac,
        "copy": lambda x: x,
        "zero": torch.zeros_like,
    }
)


class CustomUnaryOperation(TensorwiseTransform):
    r"""An elementwise function, named as in torch.

    $$ d = f(u) $$

    Args:
        name: abs, sign, neg, reciprocal, square, sqrt, the trigonometric and hyperbolic functions and their inverses,
            exp, exp2, expm1, log, log1p, log2, log10, erf, erfc, sigmoid, floor, ceil, round, trunc, frac, copy (u as
            it is) or zero.

    Raises:
        ValueError: for a name that is none of these.

    >>> import torch, torchzero as tz
    >>> tz.m.CustomUnaryOperation("tanh").step((), tz.Var(torch.zeros(1), grad=torch.ones(1)))[1].update
    tensor([0.7616])

    Reference: elementary, as the functions of that name in torch.
    """

    locality = "elementwise"

    name: str = static(choices=tuple(FUNCTIONS))

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return FUNCTIONS[self.name](u)
