"""SPSA2: gradient and Hessian estimated from the loss at random points nearby."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, child, integer, nonnegative, positive, static, within
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.core.vector import with_single_values
from torchzero.linalg.operators import Dense
from torchzero.linalg.operators.base import solve_dense
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.quasi_newton.base import at_least_single
from torchzero.quasi_newton.sg2 import least_squares, symmetric_part


class SPSA2State(NamedTuple):
    """State of SPSA2 for n parameters."""

    key: Tensor  # (2,)   of the random directions
    t: Tensor  # ()       updates absorbed
    g: Tensor  # (n,)     the last estimate of the gradient
    H: Tensor  # (n, n)   weighted mean of the estimates of the Hessian
    children: dict[str, Any]  # state of the child


class SPSA2(Module):
    r"""Newton's method with gradient and Hessian estimated by simultaneous perturbation, from four losses a sample.

    With Δ and Δ̃ of random signs:

    $$ g = \frac{f(x + hΔ) - f(x - hΔ)}{2h}Δ,\quad
       δ = \frac{f(x + hΔ + h\tilde Δ) - f(x + hΔ) - f(x - hΔ + h\tilde Δ) + f(x - hΔ)}{h}\tilde Δ $$

    $$ \hat H = \mathrm{sym}\Bigl(\frac{δΔ^T}{2h}\Bigr),\quad H_k = β_kH_{k-1} + (1 - β_k)\hat H,\quad
       d = (H + λI)^+g $$

    with β_k = k/(k+1) unless given: the mean of all estimates. It makes the direction itself: place it first.

    Args:
        n_samples: samples to average over, whole and ≥ 1.
        h: length of the perturbation of each parameter, > 0.
        beta: β in [0, 1), or None for the rule above.
        damping: λ ≥ 0.
        eigval_fn: function of the eigenvalues (n,) to use in their place, such as torch.abs.
        use_lstsq: pseudo-inverse; else a solve by LU. Of no account with `eigval_fn`.
        seed: of the signs; None to draw one from torch's generator.
        inner: module that transforms the estimated gradient.

    Raises:
        RuntimeError: in a step without an objective.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SPSA2(seed=0), torch.tensor([4.0], dtype=torch.float64)
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0].abs() < 1e-6
    tensor([True])

    Reference: Spall 2000, Adaptive stochastic approximation by the simultaneous perturbation method,
    https://doi.org/10.1109/TAC.2000.880982
    """

    locality = "global"
    needs = frozenset({"objective"})
    makes_update = True
    whole = True

    n_samples: int = static(1, low=1, integer=True)
    h: Hyper = positive(1e-2)
    beta: Hyper = within(0, 1, default=None)
    damping: Hyper = nonnegative(0)
    eigval_fn: Callable[[Tensor], Tensor] | None = static(None)
    use_lstsq: bool = static(True)
    seed: Hyper = integer(0, None)
    inner: Module | None = child(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> SPSA2State:
        x = tree.ravel(params)[0]
        g = torch.zeros_like(x, dtype=at_least_single(x.dtype))
        key = random.key(with_single_values(self).seed, x.device)
        kids = {name: kid.init(params) for name, kid in self.children().items()}
        return SPSA2State(key, tree.counter(params), g, g.new_zeros(x.numel(), x.numel()), kids)

    def update(self, state: SPSA2State, var: Var) -> SPSA2State:
        me, objective = with_single_values(self), var.need_objective(self)
        x, unravel = tree.ravel(var.params)
        g, estimate, dtype = torch.zeros_like(state.g), torch.zeros_like(state.H), state.g.dtype

        def f(point: Tensor) -> Tensor:
            return objective.value(unravel(point)).to(dtype)

        for key in random.split(random.fold_in(state.key, state.t), me.n_samples):
            first, second = (random.rademacher(k, x.shape, x.dtype) for k in random.split(key))
            plus, minus = x + me.h * first, x - me.h * first
            high, low = f(plus), f(minus)
            bend = (f(plus + me.h * second) - high) - (f(minus + me.h * second) - low)
            g = g + (high - low) / (2 * me.h) * first.to(dtype)
            estimate = estimate + bend / (2 * me.h * me.h) * symmetric_part(second.to(dtype), first.to(dtype))
        g, estimate = g / me.n_samples, estimate / me.n_samples
        t = state.t.to(torch.float64)
        beta = (t / (t + 1)).to(dtype) if me.beta is None else torch.where(state.t == 0, 0, me.beta)
        H = beta * state.H + (1 - beta) * estimate
        H = torch.where(torch.isfinite(H).all(), H, state.H)
        given = var.replace(update=unravel(g))
        kids = {name: kid.update(state.children[name], given) for name, kid in self.children().items()}
        return SPSA2State(state.key, state.t + 1, g.to(dtype), H.to(dtype), kids)

    def apply(self, state: SPSA2State, var: Var) -> Var:
        unravel = tree.ravel(var.params)[1]
        u = unravel(state.g)
        if self.inner is not None:
            u = self.inner.apply(state.children["inner"], var.replace(update=u)).update
        u = tree.ravel(u)[0].to(state.H.dtype)
        H = self._shifted(state)
        if self.eigval_fn is not None:
            eigenvalues, Q = safe_eigh(H)
            d = Q @ ((Q.mT @ u) / self.eigval_fn(eigenvalues))
        else:
            d = least_squares(H, u) if self.use_lstsq else solve_dense(H, u)
        return var.replace(update=unravel(d))

    def _shifted(self, state: SPSA2State) -> Tensor:
        damping = with_single_values(self).damping
        return state.H + damping * torch.eye(len(state.H), dtype=state.H.dtype, device=state.H.device)

    def operator(self, state: SPSA2State) -> Dense:
        return Dense(self._shifted(state))

    def evaluations(self, state: SPSA2State) -> Any:
        return 4 * self.n_samples + super().evaluations(state)

    def child_state(self, state: SPSA2State, name: str) -> Any:
        return state.children[name]
