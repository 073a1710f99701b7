"""UnaryParameterwiseLambda: a function of each tensor."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from torchzero.core.hyper import static
from torchzero.core.transform import At, TensorwiseTransform


class UnaryParameterwiseLambda(TensorwiseTransform):
    r"""A function of each tensor of the direction.

    $$ d_i = f(u_i) $$

    For different functions on different parameters, give each group of parameters a module of its own.

    Args:
        fn: tensor -> tensor of the same shape. It must be pure: return a new tensor and leave the one it is given
            alone. A named function rather than a lambda can be pickled.

    Raises:
        TypeError: when fn cannot be called.

    >>> import torch, torchzero as tz
    >>> module = tz.m.UnaryParameterwiseLambda(torch.tanh)
    >>> module.step((), tz.Var(torch.zeros(1), grad=torch.ones(1)))[1].update
    tensor([0.7616])

    Reference: elementary.
    """

    locality = "tensor"

    fn: Callable[[Tensor], Tensor] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.fn):
            raise TypeError(f"UnaryParameterwiseLambda(fn={self.fn!r}): must be a function of a tensor")

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.fn(u)
