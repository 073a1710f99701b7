"""Debias2: the bias correction of a denominator as a module of its own."""

from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import bias
from torchzero.core.hyper import Hyper, positive, within
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.ops.debias import DebiasState


class Debias2(TensorwiseTransform):
    r"""Divide by the bias correction of the root of a running mean of p-th powers.

    $$ d_t = \frac{u_t}{(1-β^t)^{1/p}} $$

    Args:
        beta: β, in [0, 1).
        pow: p, positive.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Debias2(beta=0.75)
    >>> module.step(module.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([1.0])))[1].update
    tensor([2.])

    Reference: Kingma & Ba 2015, section 3, https://arxiv.org/abs/1412.6980
    """

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.999)
    pow: Hyper = positive(2)

    def init_tensor(self, param: Tensor) -> DebiasState:
        return DebiasState(tree.counter(param))

    def scalars(self, t: Tensor) -> Tensor:
        return bias(self.beta, t) ** (1 / self.pow)

    def apply_tensor(self, state: DebiasState, u: Tensor, at: At) -> Tensor:
        return u / at.scalars
