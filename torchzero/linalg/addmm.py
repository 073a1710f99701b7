"""A product of matrices that is added to a matrix, with one rounding, for stacks of them and under vmap."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.control import is_batched


def addmm(X: Tensor, A: Tensor, B: Tensor, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """βX + αAB.

    As torch.addmm and torch.baddbmm, which do the sum while they write the product; but torch.vmap takes those apart
    into products and sums again, and rounds in between.

    Args:
        X: (..., m, n).
        A: (..., m, k).
        B: (..., k, n); all three with the same leading dimensions.
        beta: β.
        alpha: α.

    Returns:
        (..., m, n).

    >>> addmm(torch.eye(2), torch.ones(2, 1), torch.ones(1, 2), beta=3.0, alpha=-1.0)
    tensor([[ 2., -1.],
            [-1.,  2.]])
    """
    if not torch.compiler.is_compiling() and (is_batched(X) or is_batched(A) or is_batched(B)):
        return _Addmm.apply(X, A, B, beta, alpha)
    if X.ndim == 2:
        return torch.addmm(X, A, B, beta=beta, alpha=alpha)
    stacks = [x.reshape(X.shape[:-2].numel(), *x.shape[-2:]) for x in (X, A, B)]
    return torch.baddbmm(*stacks, beta=beta, alpha=alpha).reshape(X.shape)


class _Addmm(torch.autograd.Function):
    """The same, with the rule that vmap lacks: the batch is one more leading dimension."""

    @staticmethod
    def forward(X: Tensor, A: Tensor, B: Tensor, beta: float, alpha: float) -> Tensor:
        return addmm(X, A, B, beta, alpha)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, A, B, ctx.beta, ctx.alpha = inputs
        ctx.save_for_backward(A, B)
        ctx.save_for_forward(A, B)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        A, B = ctx.saved_tensors
        return ctx.beta * g, ctx.alpha * (g @ B.mT), ctx.alpha * (A.mT @ g), None, None

    @staticmethod
    def jvp(ctx: Any, dX: Tensor, dA: Tensor, dB: Tensor, *_: Any) -> Tensor:
        A, B = ctx.saved_tensors
        return ctx.beta * dX + ctx.alpha * (dA @ B + A @ dB)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Tensor, int]:
        *matrices, beta, alpha = inputs
        stacks = [
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(matrices, in_dims[:3], strict=True)
        ]
        return addmm(*stacks, beta, alpha), 0
