"""ParamEMA: a running mean of the parameters."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import ema
from torchzero.core.hyper import Hyper, static, within
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.misc.base import wide


class ParamEMAState(NamedTuple):
    """State of ParamEMA."""

    mean: Tree  # like params, at least float32  running mean of the parameters
    weight: Tree  # () for each leaf  the weight that the mean has gathered; 1 unless debias


class ParamEMA(Transform):
    r"""Keep an exponential moving average of the parameters, for evaluating the model at.

    $$ \bar θ_t = β \bar θ_{t-1} + (1-β)(θ_t - u_t),\quad \bar θ_0 = θ_1 $$

    Place it last: it averages the parameters that the step leads to, $θ_t - u_t$. The update stays as it is, and the
    average is read by `eval_params(state, params)`. With `debias` the average starts from nothing instead, and is
    divided by the weight gathered: the initial parameters have no part in it.

    Args:
        beta: β in [0, 1).
        debias: leave the initial parameters out.

    Raises:
        ValueError: for β outside [0, 1).

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(1.0), tz.m.ParamEMA(0.5))
    >>> p = torch.tensor([2.0])
    >>> p, state = opt(p, opt.init(p), grad=torch.tensor([2.0]))
    >>> p, opt.eval_params(state, p)
    (tensor([0.]), tensor([1.]))

    Reference: Polyak & Juditsky 1992; Morales-Brotons, Vogels & Hendrikx 2024, https://arxiv.org/abs/2411.18704
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    beta: Hyper = within(0, 1, default=0.999)
    debias: bool = static(default=False)

    def init_tree(self, params: Tree) -> ParamEMAState:
        mean = tree.map(wide, params)
        weight = tree.map(lambda x: torch.full((), 0.0 if self.debias else 1.0, dtype=x.dtype, device=x.device), mean)
        return ParamEMAState(tree.zeros_like(mean) if self.debias else mean, weight)

    def update_tree(self, state: ParamEMAState, u: Tree, var: Var) -> ParamEMAState:
        new = tree.cast_like(apply_update(var), state.mean)
        mean = tree.zipmap(ema, state.mean, new, self.beta)
        return ParamEMAState(mean, tree.zipmap(lambda w, b: b * w + (1 - b), state.weight, self.beta))

    def eval_params(self, state: ParamEMAState, params: Tree) -> Tree:
        def read(p: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
            return torch.where(weight == 0, p, tree.cast(safe_div(mean, weight), p))

        return tree.map(read, params, state.mean, state.weight)
