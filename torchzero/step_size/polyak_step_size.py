"""PolyakStepSize: the step that would reach the optimal value on a linear model."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.clipping.base import for_settings
from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, number, positive, static, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import epsilon_step, single, usable


class PolyakStepSizeState(NamedTuple):
    """State of PolyakStepSize."""

    a: Tensor  # ()               step size, before `max` and `alpha`
    f_best: Tensor | tuple[()]  # ()   lowest loss so far; () if f_star is known
    y: Tensor | tuple[()]  # ()        how far below it the optimum is believed to be; () if f_star is known


class PolyakStepSize(Transform):
    r"""Scale the update by Polyak's step size.

    $$ a_t = \min\left(\frac{f(θ_t) - f^*}{\langle u_t, g_t\rangle}, a_{\max}\right),\quad d_t = α\,a_t u_t $$

    An unknown optimum is taken to be $f^* = \min_{s ≤ t} f(θ_s) - y_t$ with $y_{t+1} = (1-ρ) y_t$. Where the step size
    is not positive or not finite (as when $f ≤ f^*$), one is taken that moves no element by more than 1e-7.

    Args:
        f_star: f*, the optimal value, or None.
        y: $y_1$ > 0, how far the optimum is below the lowest loss, if unknown.
        y_decay: ρ, in [0, 1].
        max: $a_{\max}$ > 0, or None. For stochastic gradients: SPS_max.
        use_grad: divide by the inner product with the gradient; else by that of the update with itself.
        alpha: α > 0. The step size of Loizou et al. has α = 1/c.
        inner: module whose output is scaled instead of u; the step size is that of u.

    Raises:
        ValueError: for a number outside its range, or several values for f*, y or ρ, which all parameters share.

    >>> import torch, torchzero as tz
    >>> polyak = tz.m.PolyakStepSize()
    >>> polyak(p := torch.tensor([4.0]), polyak.init(p), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Polyak 1987, Introduction to optimization, section 5.3; Loizou, Vaswani, Laradji & Lacoste-Julien 2020,
    https://arxiv.org/abs/2002.10542
    """

    scales = True

    f_star: Hyper = number(0, optional=True)
    y: Hyper = positive(1)
    y_decay: Hyper = within(0, 1, default=1e-3, closed_high=True)
    max: Hyper = positive(None)
    use_grad: bool = static(True)
    alpha: Hyper = positive(1)
    inner: Module | None = child(None)

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The loss, and the gradient unless the update stands for it."""
        return frozenset({"value", "grad"} if self.use_grad else {"value"})

    def init_tree(self, params: Tree) -> PolyakStepSizeState:
        a = tree.scalar(params, 0.0)
        if self.f_star is not None:
            return PolyakStepSizeState(a, (), ())
        return PolyakStepSizeState(a, torch.full_like(a, float("inf")), a + single(self, "y")[0])

    def update_tree(self, state: PolyakStepSizeState, u: Tree, var: Var) -> PolyakStepSizeState:
        f_star, y_decay = single(self, "f_star", "y_decay")
        loss = var.loss
        if isinstance(state.f_best, Tensor) and isinstance(state.y, Tensor):
            f_best = torch.minimum(state.f_best, loss)
            gap = loss - (f_best - state.y)
            state = state._replace(f_best=f_best, y=state.y * (1 - y_decay))
        else:
            gap = loss - f_star
        slope = tree.dot(u, var.grad if self.use_grad else u)
        positive_slope = slope > 2 * torch.finfo(slope.dtype).tiny
        a = safe_div(gap, torch.where(positive_slope, slope, torch.zeros_like(slope)))
        return state._replace(a=torch.where(usable(a), a, epsilon_step(u, 1e-7)))

    def multiplier(self, state: PolyakStepSizeState, u: Tree, var: Var) -> Any:
        def factor(alpha: Hyper, *limit: Hyper) -> Tensor:
            a = state.a
            return alpha * (torch.minimum(a, torch.zeros_like(a) + limit[0]) if limit else a)

        limits = () if self.max is None else (self.max,)
        return for_settings(factor, u, self.alpha, *limits)
