"""ScheduleFreeSGD: gradient descent with averaging in place of a schedule."""

from torchzero.adaptive.schedule_free import ScheduleFree
from torchzero.core.hyper import Hyper
from torchzero.weight_decay.weight_decay import WeightDecay


class ScheduleFreeSGD(ScheduleFree):
    r"""ScheduleFree around gradient descent.

    $$ z_{t+1} = z_t - γ_t(u_t + λy_t) $$

    with x and y as in ScheduleFree. The learning rate is in it: no LR should follow.

    Args:
        lr: γ ≥ 0.
        momentum: β in [0, 1], the share of the average in the parameters.
        weight_decay: λ ≥ 0, at y.
        warmup_steps: steps over which γ grows linearly; 0 for none.
        r: power of the step number in the weights of the average.
        weight_lr_power: power of the largest learning rate so far in the weights of the average.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, y = tz.m.ScheduleFreeSGD(lr=0.5), torch.tensor([1.0])
    >>> y, state = opt(y, opt.init(y), lambda x: (x**2).sum())
    >>> y
    tensor([0.])

    Reference: Defazio et al. 2024, https://arxiv.org/abs/2405.15682
    """

    def __init__(
        self,
        lr: Hyper = 1.0,
        momentum: Hyper = 0.9,
        weight_decay: Hyper = 0.0,
        warmup_steps: Hyper = 0,
        r: Hyper = 0.0,
        weight_lr_power: Hyper = 2.0,
    ) -> None:
        self._write("inner", WeightDecay(weight_decay))
        self._write("lr", lr)
        self._write("beta", momentum)
        self._write("weight_lr_power", weight_lr_power)
        self._write("r", r)
        self._write("warmup_steps", warmup_steps)
        self._validate()
