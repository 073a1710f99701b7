"""BarzilaiBorwein: the step size of the secant equation."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, positive, static
from torchzero.core.module import Module
from torchzero.core.safe import safe_div, safe_sqrt
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import epsilon_step, single, usable

TYPES = ("long", "short", "geom", "geom-fallback")


class BarzilaiBorweinState(NamedTuple):
    """State of BarzilaiBorwein."""

    t: Tensor  # ()            updates absorbed
    p: Tree  # like params     parameters of the last one
    g: Tree  # like params     gradient of the last one
    a: Tensor  # ()            step size


def secant_step(s: Tree, y: Tree, kind: str) -> Tensor:
    """The step size of kind "long", "short" or their geometric mean; 0 where there is none, as where ⟨s, y⟩ ≤ 0."""
    ss, sy, yy = tree.dot(s, s), tree.dot(s, y), tree.dot(y, y)
    tiny = 2 * torch.finfo(sy.dtype).tiny
    curved = (sy > tiny).to(sy.dtype)
    long, short = curved * safe_div(ss, curved * sy), curved * safe_div(sy, torch.where(yy > tiny, yy, 0))
    if kind == "long":
        return long
    if kind == "short":
        return short
    geom = safe_sqrt(long * short)
    return torch.where(geom > 0, geom, torch.maximum(long, short)) if kind == "geom-fallback" else geom


class BarzilaiBorwein(Transform):
    r"""Scale the update by the step size that fits the last change of the gradient.

    $$ s = θ_t - θ_{t-1},\; y = g_t - g_{t-1},\quad
       a_{\text{long}} = \frac{\langle s,s\rangle}{\langle s,y\rangle},\;
       a_{\text{short}} = \frac{\langle s,y\rangle}{\langle y,y\rangle},\;
       a_{\text{geom}} = \sqrt{a_{\text{long}} a_{\text{short}}},\quad d_t = a u_t $$

    In the first step, and where the curvature $\langle s,y\rangle$ is not positive or the step size not finite, a step
    is taken that moves no element by more than `alpha_0`.

    Args:
        type: "long", "short", "geom", or "geom-fallback", which takes the longer of the two where their geometric
            mean underflows.
        alpha_0: > 0, the largest change of an element in steps without a step size.
        use_grad: take g to be the gradient; else the update.
        inner: module whose output is scaled instead of u.

    Raises:
        ValueError: for an unknown type, or an `alpha_0` that is not positive or not one number.

    >>> import torch, torchzero as tz
    >>> bb, f = tz.m.BarzilaiBorwein(alpha_0=0.1), lambda x: (x**2).sum()
    >>> p, state = bb(p := torch.tensor([4.0]), bb.init(p), f)
    >>> bb(p, state, f)[0].abs() < 1e-6
    tensor([True])

    Reference: Barzilai & Borwein 1988, Two-point step size gradient methods, equations 5 and 6; the geometric mean
    Dai, Al-Baali & Yang 2015.
    """

    scales = True

    type: str = static("geom", choices=TYPES)
    alpha_0: Hyper = positive(1e-7)
    use_grad: bool = static(True)
    inner: Module | None = child(None)

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The parameters, and the gradient unless the update stands for it."""
        return frozenset({"params", "grad"} if self.use_grad else {"params"})

    def init_tree(self, params: Tree) -> BarzilaiBorweinState:
        p, g = tree.zeros_like(params), tree.zeros_like(params)
        return BarzilaiBorweinState(tree.counter(params), p, g, tree.scalar(params, 0.0))

    def update_tree(self, state: BarzilaiBorweinState, u: Tree, var: Var) -> BarzilaiBorweinState:
        (alpha_0,) = single(self, "alpha_0")
        g = var.grad if self.use_grad else u
        a = secant_step(tree.sub(var.params, state.p), tree.sub(g, state.g), self.type)
        a = torch.where(usable(a) & (state.t > 0), a, epsilon_step(u, alpha_0))
        return BarzilaiBorweinState(state.t + 1, var.params, g, a)

    def multiplier(self, state: BarzilaiBorweinState, u: Tree, var: Var) -> Any:
        return state.a

    def reset_tree(self, state: BarzilaiBorweinState) -> BarzilaiBorweinState:
        return state._replace(t=torch.zeros_like(state.t))
