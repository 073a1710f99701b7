"""Warmup: small steps first."""

from typing import NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.step_size.base import ramp


class WarmupState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()   updates absorbed


class Warmup(TensorwiseTransform):
    r"""Multiply the update by a factor that grows linearly and then stays.

    $$ d_t = u_t \left(a + (b - a) \min\left(\frac{t - 1}{n}, 1\right)\right) $$

    Args:
        steps: n ≥ 0, the number of steps with a factor other than b.
        start_lr: a ≥ 0, the factor of the first step.
        end_lr: b ≥ 0, the factor after n steps.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> warmup, p = tz.m.Warmup(steps=4, start_lr=0), torch.zeros(1)
    >>> p, state = warmup(p, warmup.init(p), grad=torch.ones(1))
    >>> warmup(p, state, grad=torch.ones(1))[0]
    tensor([-0.2500])

    Reference: Goyal et al. 2017, section 2.2, https://arxiv.org/abs/1706.02677
    """

    locality = "elementwise"

    steps: Hyper = integer(0, 100)
    start_lr: Hyper = nonnegative(1e-5)
    end_lr: Hyper = nonnegative(1)

    def init_tensor(self, param: Tensor) -> WarmupState:
        return WarmupState(tree.counter(param))

    def scalars(self, t: Tensor) -> Tensor:
        return ramp(t - 1, self.steps, self.start_lr, self.end_lr)

    def apply_tensor(self, state: WarmupState, u: Tensor, at: At) -> Tensor:
        return at.scalars * u
