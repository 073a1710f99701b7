"""WarmupNormClip: short steps first."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.clipping.base import for_settings
from torchzero.clipping.clip_norm import clip_factor
from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, positive
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.step_size.base import ramp


class WarmupNormClipState(NamedTuple):
    """State of WarmupNormClip."""

    t: Tensor  # ()   updates absorbed


class WarmupNormClip(Transform):
    r"""Shorten the update of all parameters to a bound that grows linearly and then disappears.

    $$ d_t = u_t \min\left(1, \frac{c_t}{\lVert u_t\rVert_2}\right),\quad
       c_t = a + (b - a)\frac{t - 1}{n} \text{ for } t ≤ n + 1,\quad c_t = ∞ \text{ for } t > n + 1 $$

    Args:
        steps: n ≥ 0.
        start_norm: a > 0, the bound of the first step.
        end_norm: b > 0, the bound of the last step that has one.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.WarmupNormClip(steps=10, start_norm=0.5), torch.zeros(2)
    >>> clip(p, clip.init(p), grad=torch.tensor([3.0, 4.0]))[0]
    tensor([-0.3000, -0.4000])

    Reference: none; made for this library.
    """

    scales = True

    steps: Hyper = integer(0, 100)
    start_norm: Hyper = positive(1e-5)
    end_norm: Hyper = positive(1)

    def init_tree(self, params: Tree) -> WarmupNormClipState:
        return WarmupNormClipState(tree.counter(params))

    def update_tree(self, state: WarmupNormClipState, u: Tree, var: Var) -> WarmupNormClipState:
        return WarmupNormClipState(state.t + 1)

    def multiplier(self, state: WarmupNormClipState, u: Tree, var: Var) -> Any:
        k, norm = state.t.to(torch.float64) - 1, tree.norm(u)

        def factor(steps: Hyper, start: Hyper, end: Hyper) -> Tensor:
            clipped = clip_factor(norm, tree.cast(ramp(k, steps, start, end), norm))
            return torch.where(k <= steps, clipped, torch.ones_like(clipped))

        return for_settings(factor, u, self.steps, self.start_norm, self.end_norm)
