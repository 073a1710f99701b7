"""ScheduleFreeAdamW: AdamW with averaging in place of a schedule and of its first moment."""

from torchzero.adaptive.rmsprop import RMSprop
from torchzero.adaptive.schedule_free import ScheduleFree
from torchzero.core.chain import Chain
from torchzero.core.hyper import Hyper
from torchzero.weight_decay.weight_decay import WeightDecay


class ScheduleFreeAdamW(ScheduleFree):
    r"""ScheduleFree around RMSprop with bias correction and decoupled weight decay.

    $$ v_t = β_2 v_{t-1} + (1-β_2)u_t^2,\quad
       z_{t+1} = z_t - γ_t\Bigl(\frac{u_t}{\sqrt{v_t/(1-β_2^t)} + ε} + λy_t\Bigr) $$

    with x and y as in ScheduleFree. The learning rate is in it: no LR should follow.

    Args:
        lr: γ ≥ 0.
        beta1: share of the average in the parameters, in [0, 1]: β of ScheduleFree.
        beta2: decay of the mean square, in [0, 1): the field `smoothing` of the RMSprop inside.
        eps: ε > 0.
        weight_decay: λ ≥ 0, at y.
        warmup_steps: steps over which γ grows linearly; 0 for none.
        r: power of the step number in the weights of the average.
        weight_lr_power: power of the largest learning rate so far in the weights of the average.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, y = tz.m.ScheduleFreeAdamW(lr=0.5), torch.tensor([1.0])
    >>> y, state = opt(y, opt.init(y), lambda x: (x**2).sum())
    >>> y
    tensor([0.5000])

    Reference: Defazio et al. 2024, algorithm 1, https://arxiv.org/abs/2405.15682
    """

    def __init__(
        self,
        lr: Hyper = 2.5e-3,
        beta1: Hyper = 0.9,
        beta2: Hyper = 0.999,
        eps: Hyper = 1e-8,
        weight_decay: Hyper = 0.0,
        warmup_steps: Hyper = 0,
        r: Hyper = 0.0,
        weight_lr_power: Hyper = 2.0,
    ) -> None:
        self._write("inner", Chain(RMSprop(beta2, eps, debias=True), WeightDecay(weight_decay)))
        self._write("lr", lr)
        self._write("beta", beta1)
        self._write("weight_lr_power", weight_lr_power)
        self._write("r", r)
        self._write("warmup_steps", warmup_steps)
        self._validate()
