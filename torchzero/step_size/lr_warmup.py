"""LRWarmup: Warmup that may begin late."""

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer, nonnegative
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.step_size.base import ramp
from torchzero.step_size.warmup import WarmupState


class LRWarmup(TensorwiseTransform):
    r"""Multiply the update by a factor that stays, grows linearly, and stays again.

    $$ d_t = u_t \left(a + (b - a) \min\left(\frac{\max(t - 1 - m, 0)}{n}, 1\right)\right) $$

    Args:
        n_steps: n ≥ 0, the length of the growth.
        start_lr: a ≥ 0, the factor of the first m + 1 steps.
        end_lr: b ≥ 0, the factor after m + n steps.
        delay_steps: m ≥ 0, the number of steps before the growth.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> warmup, p = tz.m.LRWarmup(2, start_lr=0, delay_steps=1), torch.zeros(1)
    >>> state, steps = warmup.init(p), []
    >>> for _ in range(5):
    ...     state, var = warmup.step(state, tz.Var(p, grad=torch.ones(1)))
    ...     steps.append(var.update)
    >>> torch.cat(steps)
    tensor([0.0000, 0.0000, 0.5000, 1.0000, 1.0000])

    Reference: Goyal et al. 2017, section 2.2, https://arxiv.org/abs/1706.02677; the delay is of this library.
    """

    locality = "elementwise"
    conservative = True

    n_steps: Hyper = integer(0)
    start_lr: Hyper = nonnegative(1e-8)
    end_lr: Hyper = nonnegative(1)
    delay_steps: Hyper = integer(0, 0)

    def init_tensor(self, param: Tensor) -> WarmupState:
        return WarmupState(tree.counter(param))

    def scalars(self, t: Tensor) -> Tensor:
        return ramp(t - 1 - self.delay_steps, self.n_steps, self.start_lr, self.end_lr)

    def apply_tensor(self, state: WarmupState, u: Tensor, at: At) -> Tensor:
        return at.scalars * u
