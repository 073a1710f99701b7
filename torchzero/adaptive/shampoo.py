"""Shampoo: full-matrix Adagrad with a matrix for each dimension of a tensor."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.adaptive.base import Plan, at_least_single, gram, mode_product, plan
from torchzero.core import tree
from torchzero.core.averages import bias, ema
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, positive, static, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.linalg.matrix_power import METHODS, MatrixPowerMethod, matrix_power


class ShampooState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()                                 updates absorbed
    S: tuple[Tensor, ...]  # (n, n) for each factor   I plus the sum, or running mean, of gram matrices
    B: tuple[Tensor, ...]  # (n, n) for each factor   (S + ρI)ᵖ as of the last refresh
    s: Tensor | tuple[()]  # like param             sum, or running mean, of u²; () for a tensor with factors


class ShampooScalars(NamedTuple):
    """What one step knows."""

    due: Tensor  # bool: whether the roots are refreshed
    debias: Tensor | float  # √(1-βᵗ)


class Shampoo(TensorwiseTransform):
    r"""Multiply the update along each dimension by an inverse root of that dimension's gram matrix.

    $$ S_i ← S_i + U_{(i)}U_{(i)}^T \quad\text{or}\quad βS_i + (1-β)U_{(i)}U_{(i)}^T,\quad
       d = u ×_1 (S_1+ρI)^p ×_2 \dots ×_k (S_k+ρI)^p \ [·\sqrt{1-β^t}],\quad p = -\frac{1}{2k} $$

    where U₍ᵢ₎ has a row for each index of dimension i, S starts at the identity, and for a vector p = -1/2. A dimension
    of length 1 or longer than `max_dim` has no factor. A tensor without factors, 0-d ones among them, is divided by
    √s + ε with s the sum (or running mean) of u², as in Adagrad.

    Args:
        reg: ρ ≥ 0.
        precond_freq: steps between two refreshes of the roots, a whole number ≥ 1; the first step is one.
        matrix_power: p; None for -1/(2k), k the number of dimensions after merging, and -1/2 for a vector.
        merge_small: flatten the smallest dimensions as long as their product is at most `max_dim`; so a small tensor
            becomes one vector, which is full-matrix Adagrad for it.
        max_dim: longest dimension with a factor.
        precondition_1d: whether parameters with one dimension have a factor.
        adagrad_eps: ε > 0.
        matrix_power_method: "eigh_abs", "eigh" or "svd", see `torchzero.linalg.matrix_power`.
        beta: β in [0, 1); None for sums.
        beta_debias: multiply by √(1-β^t).
        inner: module that makes the direction which is multiplied; S is that of the incoming update.

    Raises:
        ValueError: for a number outside its range or an unknown method.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Shampoo(merge_small=False), torch.zeros(2, 2)
    >>> opt(x, opt.init(x), grad=torch.tensor([[0.0, 3.0], [0.0, 0.0]]))[0].round(decimals=4)
    tensor([[ 0.0000, -0.9487],
            [ 0.0000,  0.0000]])

    Reference: Gupta, Koren & Singer 2018, algorithm 2, https://arxiv.org/abs/1802.09568
    """

    locality = "tensor"

    reg: Hyper = nonnegative(1e-12)
    precond_freq: Hyper = integer(1, 10)
    matrix_power: Hyper = number(None)
    merge_small: bool = static(True)
    max_dim: int = static(10_000, low=1, integer=True)
    precondition_1d: bool = static(True)
    adagrad_eps: Hyper = positive(1e-8)
    matrix_power_method: MatrixPowerMethod = static("eigh_abs", choices=METHODS)
    beta: Hyper = within(0, 1, default=None)
    beta_debias: bool = static(True)
    inner: Module | None = child(None)

    def _plan(self, x: Tensor) -> Plan:
        return plan(tuple(x.shape), self.merge_small, self.max_dim, self.precondition_1d)

    def init_tensor(self, param: Tensor) -> ShampooState:
        view = self._plan(param)
        to = {"dtype": at_least_single(param.dtype), "device": param.device}
        S = tuple(torch.eye(view.shape[i], **to) for i in view.dims)
        return ShampooState(tree.counter(param), S, S, () if S else torch.zeros_like(param))

    def scalars(self, t: Tensor) -> ShampooScalars:
        debias = 1.0 if self.beta is None or not self.beta_debias else bias(self.beta, t).sqrt()
        return ShampooScalars((t - 1) % self.precond_freq == 0, debias)

    def _absorb(self, mean: Tensor, x: Tensor) -> Tensor:
        return tree.cast(mean + x if self.beta is None else ema(mean, x, self.beta), mean)

    def update_tensor(self, state: ShampooState, u: Tensor, at: At) -> ShampooState:
        if isinstance(state.s, Tensor):
            return state._replace(s=self._absorb(state.s, u * u))
        view = self._plan(u)
        x = view.view(u).to(state.S[0].dtype)
        S = tuple(self._absorb(S, gram(x, i)) for S, i in zip(state.S, view.dims, strict=True))
        power = -1 / max(2 * len(view.shape), 2) if self.matrix_power is None else self.matrix_power

        def roots() -> tuple[Tensor, ...]:
            return tuple(self._root(x, power) for x in S)

        return state._replace(S=S, B=cond(at.scalars.due, roots, lambda: state.B))

    def _root(self, S: Tensor, power: Hyper) -> Tensor:
        eye = torch.eye(len(S), dtype=S.dtype, device=S.device)
        return tree.cast(matrix_power(S + tree.cast(self.reg * eye, S), power, self.matrix_power_method), S)

    def apply_tensor(self, state: ShampooState, u: Tensor, at: At) -> Tensor:
        if isinstance(state.s, Tensor):
            return at.scalars.debias * u / (safe_sqrt(state.s) + self.adagrad_eps)
        view = self._plan(u)
        d = mode_product(view.view(u).to(state.B[0].dtype), state.B, view.dims)
        return at.scalars.debias * view.unview(d, u.shape)
