"""Arithmetic whose derivative stays finite where the textbook's does not: at zero."""

import math

import torch
from torch import Tensor
from torch.autograd import forward_ad

_functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]


def differentiated(x: Tensor) -> bool:
    """Whether a derivative may be taken through `x`; where not, the guards below would cost time for nothing."""
    if torch.compiler.is_compiling() or forward_ad._current_level >= 0:
        return True
    while _functorch.is_functorch_wrapped_tensor(x):
        if not _functorch.is_batchedtensor(x):
            return True
        x = _functorch.get_unwrapped(x)
    return x.requires_grad


def safe_sqrt(x: Tensor) -> Tensor:
    """√x; the derivative at x = 0 is 0 instead of inf. Negative entries give NaN, as always."""
    if not differentiated(x):
        return x.sqrt()
    zero = x == 0
    return torch.where(zero, torch.zeros_like(x), torch.where(zero, torch.ones_like(x), x).sqrt())


def safe_div(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 (with a zero derivative) where b is 0."""
    zero = b == 0
    return torch.where(zero, torch.zeros_like(a * b), a / torch.where(zero, torch.ones_like(b), b))


def safe_pow(x: Tensor, exponent: Tensor | float) -> Tensor:
    """x ** exponent for x ≥ 0; 0 ** exponent is 0 with a zero derivative."""
    zero = x == 0
    return torch.where(zero, torch.zeros_like(x), torch.where(zero, torch.ones_like(x), x) ** exponent)


def safe_norm(x: Tensor, ord: float = 2, dim: tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    """The vector norm over `dim` (all dimensions by default); the derivative at 0 is 0.

    `ord` is a number or ±inf, as in torch.linalg.vector_norm.
    """
    if x.numel() == 0:
        return x.sum() if dim is None else x.sum(dim, keepdim=keepdim)
    dims = tuple(range(x.ndim)) if dim is None else dim
    if ord == 1 or ord == 0 or math.isinf(ord) or not dims or not differentiated(x):
        return torch.linalg.vector_norm(x, ord, dims or None, keepdim)
    zero = torch.linalg.vector_norm(x.detach(), ord, dims, keepdim=True) == 0
    away = torch.where(zero, torch.ones_like(x), x)
    norm = torch.linalg.vector_norm(away, ord, dims, keepdim=True).masked_fill(zero, 0)
    return norm if keepdim else norm.squeeze(dims)
