"""AdagradNorm: one adaptive step size for a tensor, or for all of them."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias
from torchzero.core.hyper import Hyper, child, nonnegative, number, positive, static, within
from torchzero.core.module import Locality, Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class AdagradNormState(NamedTuple):
    """State of all tensors."""

    t: Tensor  # ()                    updates absorbed
    s: Tree  # () for each parameter   sum, or running mean, of ‖u‖²


class AdagradNorm(Transform):
    r"""Divide the update by the root of the sum of its squared norms.

    $$ s_t = s_{t-1} + \|u_t\|^2 \quad\text{or}\quad s_t = βs_{t-1} + (1-β)\|u_t\|^2,\quad
       d_t = \frac{α}{1 + κ(t-1)}\,\frac{u_t}{\sqrt{\hat s_t} + ε} $$

    with ŝ = s/(1-β^t) for a running mean. The paper has a sum and one norm over everything, `layerwise=False`.

    Args:
        lr_decay: κ ≥ 0.
        initial_accumulator_value: s₀ ≥ 0.
        eps: ε > 0, added outside the root.
        beta: β in [0, 1); None for the sum.
        beta_debias: divide the running mean by 1-β^t.
        layerwise: a norm for each tensor, or one over all of them.
        use_sqrt: take the root; without it u is divided by ŝ + ε.
        alpha: α; the learning rate is better left to LR.
        inner: module that makes the direction which is divided; s is that of the incoming update.

    Raises:
        ValueError: for a number outside its range.

    >>> import torchzero as tz
    >>> opt, x = tz.m.AdagradNorm(), torch.tensor([0.0, 0.0])
    >>> opt(x, opt.init(x), grad=torch.tensor([3.0, -4.0]))[0]
    tensor([-0.6000,  0.8000])

    Reference: Ward, Wu & Bottou 2019, algorithm 1, https://arxiv.org/abs/1806.01811
    """

    lr_decay: Hyper = nonnegative(0)
    initial_accumulator_value: Hyper = nonnegative(0)
    eps: Hyper = positive(1e-10)
    beta: Hyper = within(0, 1, default=None)
    beta_debias: bool = static(True)
    layerwise: bool = static(True)
    use_sqrt: bool = static(True)
    alpha: Hyper = number(1)
    inner: Module | None = child(None)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "tensor" if self.layerwise else "global"

    def init_tree(self, params: Tree) -> AdagradNormState:
        zeros = tree.map(lambda p: p.new_zeros(()), params)
        return AdagradNormState(tree.counter(params), tree.full_like(zeros, self.initial_accumulator_value))

    def update_tree(self, state: AdagradNormState, u: Tree, var: Var) -> AdagradNormState:
        squares = tree.map(lambda x: (x * x).sum(), u)
        if not self.layerwise:
            total = tree.total(squares)
            squares = tree.map(lambda x: total.to(x), squares)
        if self.beta is None:
            s = tree.add(state.s, squares)
        else:
            s = tree.zipmap(lambda s, x, beta: beta * s + (1 - beta) * x, state.s, squares, self.beta)
        return AdagradNormState(state.t + 1, s)

    def apply_tree(self, state: AdagradNormState, u: Tree, var: Var) -> Tree:
        t = state.t.to(torch.float64)

        def divide(x: Tensor, s: Tensor, eps: Any, alpha: Any, kappa: Any, beta: Any) -> Tensor:
            mean = s if beta is None or not self.beta_debias else s / bias(beta, t)
            size = safe_sqrt(mean) if self.use_sqrt else mean
            return alpha / (1 + kappa * (t - 1).clamp_min(0)) / (size + eps) * x

        beta = self.beta if self.beta is None else tree.spread(self.beta, u)
        leaves, spec = tree.flatten(u)
        columns = [spec.flatten_up_to(state.s), *(tree.spread(h, u) for h in (self.eps, self.alpha, self.lr_decay))]
        rows = zip(leaves, *columns, beta or [None] * len(leaves), strict=True)
        return tree.unflatten(spec, [divide(*row) for row in rows])
