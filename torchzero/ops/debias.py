"""Debias: Adam's bias corrections as a module of their own."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias
from torchzero.core.hyper import Hyper, number, positive, within
from torchzero.core.transform import At, TensorwiseTransform


class DebiasState(NamedTuple):
    """State of one tensor."""

    t: Tensor  # ()   directions absorbed


class Debias(TensorwiseTransform):
    r"""Multiply by Adam's bias corrections.

    $$ d_t = α\,\frac{(1-β_2^t)^{1/p}}{1-β_1^t}\,u_t $$

    Args:
        beta1: β₁ of a running mean in the numerator, in [0, 1); None leaves its factor out.
        beta2: β₂ of a running mean of p-th powers in the denominator, in [0, 1); None leaves its factor out.
        alpha: α, any number.
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Debias(beta1=0.75)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([1.0])))[1].update
    tensor([4.])

    Reference: Kingma & Ba 2015, section 3, https://arxiv.org/abs/1412.6980
    """

    locality = "elementwise"

    beta1: Hyper = within(0, 1, default=None)
    beta2: Hyper = within(0, 1, default=None)
    alpha: Hyper = number(1)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> DebiasState:
        return DebiasState(tree.counter(param))

    def scalars(self, t: Tensor) -> Any:
        factor = self.alpha
        if self.beta1 is not None:
            factor = factor / bias(self.beta1, t)
        return factor if self.beta2 is None else factor * bias(self.beta2, t) ** (1 / self.pow)

    def apply_tensor(self, state: DebiasState, u: Tensor, at: At) -> Tensor:
        return u * at.scalars
