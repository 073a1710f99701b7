"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.adaptive.base import Plan, at_least_single, gram, mode_product, plan
from torchzero.core import tree
from torchzero.core.averages import bias, ema, ema_square
from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, child, integer, number, positive, static, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import At, Nested, TensorwiseTransform
from torchzero.core.var import Var
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.linalg.safe_qr import safe_qr


class SOAPState(NamedTuple):
    """State of one tensor; "merged" is its shape after merging dimensions."""

    t: Tensor  # ()                                  updates absorbed
    m: Tensor  # merged                              running mean of u, in the basis Q if proj_exp_avg
    v: Tensor  # merged                              running mean square of u in the basis Q
    G: tuple[Tensor, ...]  # (n, n) for each factor    sum, or running mean, of gram matrices
    Q: tuple[Tensor, ...]  # (n, n) for each factor    basis, in columns


class SOAPScalars(NamedTuple):
    """What one step knows."""

    first: Tensor  # bool: whether this is the first update, which only finds a basis
    due: Tensor  # bool: whether the basis is refreshed before this update
    factor: Tensor | float  # α√(1-β₂ᵏ)/(1-β₁ᵏ), k updates averaged


def _settled(G: Tensor, x: Tensor) -> Tensor:
    """The gram matrix G of `x` along one dimension, with eigenvectors that do not hang on rounding.

    Where one update leaves two directions or more without any size, a diagonal of distinct entries, tiny beside the
    trace, chooses among the bases of these.
    """
    n = len(G)
    if x.numel() // n >= n - 1:
        return G
    choice = torch.linspace(1, 2, n, dtype=G.dtype, device=G.device)
    return G + torch.diag(torch.finfo(G.dtype).eps ** 0.5 * G.diagonal().sum() * choice)


class SOAP(TensorwiseTransform):
    r"""Run Adam in the eigenbasis of the gram matrices of the update.

    $$ \tilde u = u ×_1 Q_1 ×_2 \dots,\quad m ← β_1 m + (1-β_1)\tilde u,\quad v ← β_2 v + (1-β_2)\tilde u^2,\quad
       d = α\frac{\sqrt{1-β_2^{t-1}}}{1-β_1^{t-1}}\,\frac{m}{\sqrt v + ε} ×_1 Q_1^T ×_2 \dots,\quad
       G_i ← β_s G_i + (1-β_s) U_{(i)}U_{(i)}^T $$

    The first update finds the basis by an eigendecomposition and is not averaged: the direction is u clipped to ±0.1.
    After the second update, and then every `precond_freq`, one step of orthogonal iteration follows the eigenvectors,
    $Q_i ← \mathrm{qr}(G_i Q_i)$, columns sorted by $q^TG_iq$; v is sorted along, and m is turned into the new basis.
    Dimensions of length 1 or longer than `max_dim` have no basis; a tensor without any runs plain Adam.

    A vector, or a long dimension, has directions that no update has shown yet. Their basis is arbitrary in the paper
    and fixed by a tiny diagonal here; derivatives through it are right, but change quickly with the gradients.

    Args:
        beta1: decay of the mean, in [0, 1).
        beta2: decay of the mean square, in [0, 1).
        shampoo_beta: decay β_s of the gram matrices, in [0, 1); None for sums.
        precond_freq: updates between two refreshes of the basis, a whole number ≥ 1.
        merge_small: flatten the smallest dimensions as long as their product is at most `max_dim`.
        max_dim: longest dimension with a basis.
        precondition_1d: whether parameters with one dimension have a basis.
        eps: ε > 0, added outside the root and before the bias correction, as in the authors' code.
        debias: apply the bias corrections; without them d = α m / (√v + ε).
        proj_exp_avg: average u in the basis; else as it is, and project the average. The result is the same.
        alpha: α; the learning rate is better left to LR.
        inner: module that makes what m averages; v and the basis are those of the incoming update.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SOAP(), torch.zeros(2, 2)
    >>> opt(x, opt.init(x), grad=torch.tensor([[0.0, 3.0], [-0.05, 0.0]]))[0]
    tensor([[ 0.0000, -0.1000],
            [ 0.0500,  0.0000]])

    Reference: Vyas et al. 2024, algorithm 3, https://arxiv.org/abs/2409.11321
    """

    locality = "tensor"

    beta1: Hyper = within(0, 1, default=0.95)
    beta2: Hyper = within(0, 1, default=0.95)
    shampoo_beta: Hyper = within(0, 1, default=0.95, optional=True)
    precond_freq: Hyper = integer(1, 10)
    merge_small: bool = static(True)
    max_dim: int = static(4096, low=1, integer=True)
    precondition_1d: bool = static(True)
    eps: Hyper = positive(1e-8)
    debias: bool = static(True)
    proj_exp_avg: bool = static(True)
    alpha: Hyper = number(1)
    inner: Module | None = child(None)

    def _plan(self, x: Tensor) -> Plan:
        return plan(tuple(x.shape), self.merge_small, self.max_dim, self.precondition_1d)

    def init_tensor(self, param: Tensor) -> SOAPState:
        view = self._plan(param)
        zeros = torch.zeros_like(view.view(param))
        to = {"dtype": at_least_single(param.dtype), "device": param.device}
        G = tuple(torch.zeros(view.shape[i], view.shape[i], **to) for i in view.dims)
        return SOAPState(tree.counter(param), zeros, zeros, G, tuple(torch.eye(view.shape[i], **to) for i in view.dims))

    def scalars(self, t: Tensor) -> SOAPScalars:
        k = (t - 1).clamp_min(1)
        factor = self.alpha * bias(self.beta2, k).sqrt() / bias(self.beta1, k) if self.debias else self.alpha
        return SOAPScalars(t <= 1, (t > 2) & ((t - 3) % self.precond_freq == 0), factor)

    def update_nested(self, state: Nested, var: Var) -> Nested:
        assert self.inner is not None
        kid, out = self.inner.step(state.children["inner"], var)
        both = tree.map(lambda raw, x: torch.stack((raw, x)), var.update, out.update)
        return Nested(self.update_tree(state.own, both, var), {**state.children, "inner": kid})

    def update_tensor(self, state: SOAPState, u: Tensor, at: At) -> SOAPState:
        raw, x = (u, u) if self.inner is None else (u[0], u[1])
        view = self._plan(raw)
        raw, x = (view.view(raw),) * 2 if x is raw else (view.view(raw), view.view(x))
        state = cond(at.scalars.due, self._refresh, lambda state, dims: state, state, view.dims) if view.dims else state
        work = raw.to(state.G[0].dtype) if view.dims else raw
        G = tuple(self._absorb(G, gram(work, i)) for G, i in zip(state.G, view.dims, strict=True))

        def bases() -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
            return state.m, state.v, tuple(safe_eigh(_settled(x, raw))[1].flip(-1) for x in G)

        def averages() -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
            square = mode_product(work, state.Q, view.dims)
            mean = x
            if self.proj_exp_avg:
                mean = square if x is raw else mode_product(x.to(work.dtype), state.Q, view.dims)
            m = ema(state.m, tree.cast(mean, state.m), self.beta1)
            v = ema_square(state.v, tree.cast(square, state.v), self.beta2)
            return tree.cast(m, state.m), tree.cast(v, state.v), state.Q

        m, v, Q = cond(at.scalars.first, bases, averages)
        return SOAPState(state.t, m, v, G, Q)

    def _absorb(self, G: Tensor, x: Tensor) -> Tensor:
        beta = self.shampoo_beta
        return tree.cast(G + x if beta is None else ema(G, x, beta), G)

    def _refresh(self, state: SOAPState, dims: tuple[int, ...]) -> SOAPState:
        """One step of orthogonal iteration, with the averages carried along."""
        m, v, made = state.m, state.v, []
        for G, Q, i in zip(state.G, state.Q, dims, strict=True):
            product = _settled(G, m) @ Q
            order = (Q * product).sum(-2).argsort(descending=True, stable=True)
            v = v.index_select(i, order)
            made.append(safe_qr(product.index_select(1, order)))
        if self.proj_exp_avg:
            turn = [old.mT @ new for old, new in zip(state.Q, made, strict=True)]
            m = tree.cast(mode_product(m.to(state.Q[0].dtype), turn, dims), m)
        return state._replace(m=m, v=v, Q=tuple(made))

    def apply_tensor(self, state: SOAPState, u: Tensor, at: At) -> Tensor:
        view = self._plan(u)

        def direction() -> Tensor:
            m = state.m.to(state.Q[0].dtype) if view.dims else state.m
            m = m if self.proj_exp_avg else mode_product(m, state.Q, view.dims)
            d = at.scalars.factor * m / (safe_sqrt(state.v) + self.eps)
            d = mode_product(d.to(m.dtype), [Q.mT for Q in state.Q], view.dims)
            return tree.cast(view.unview(d, u.shape), u)

        return cond(at.scalars.first, lambda: u.clamp(-0.1, 0.1), direction)
