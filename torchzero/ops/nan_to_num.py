"""NanToNum: finite numbers in place of NaN and infinities."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.hyper import Hyper, number
from torchzero.core.transform import At, TensorwiseTransform


class NanToNum(TensorwiseTransform):
    r"""Replace NaN and infinite elements by finite numbers.

    $$ d = \begin{cases} a & u = \mathrm{NaN} \\ b & u = +∞ \\ c & u = -∞ \\ u & \text{else} \end{cases} $$

    Args:
        nan: a; 0 when None.
        posinf: b; the largest finite number of the dtype when None.
        neginf: c; the lowest finite number of the dtype when None.

    >>> import torch, torchzero as tz
    >>> module = tz.m.NanToNum(posinf=10.0)
    >>> module.step((), tz.Var(torch.zeros(3), grad=torch.tensor([torch.nan, torch.inf, 2.0])))[1].update
    tensor([ 0., 10.,  2.])

    Reference: elementary, as torch.nan_to_num.
    """

    locality = "elementwise"

    nan: Hyper = number(None)
    posinf: Hyper = number(None)
    neginf: Hyper = number(None)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        limits = torch.finfo(u.dtype)
        nan = 0.0 if self.nan is None else self.nan
        posinf = limits.max if self.posinf is None else self.posinf
        neginf = limits.min if self.neginf is None else self.neginf
        finite = torch.where(u == torch.inf, posinf, torch.where(u == -torch.inf, neginf, u))
        return torch.where(torch.isnan(u), nan, finite)
