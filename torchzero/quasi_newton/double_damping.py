"""double_damping: Powell's damping, and then one against the identity."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator
from torchzero.quasi_newton.powell_damping import powell_damping


def double_damping(
    s: Tensor, y: Tensor, g: Tensor, H: Operator, u1: float | Tensor = 0.2, u2: float | Tensor = 1 / 3
) -> tuple[Tensor, Tensor]:
    r"""Powell's damping of s, and then a damping of y which bounds the curvature from below.

    $$ s' = \mathrm{powell}(s, y),\quad \text{if}\ s'^Ty < u_2 s'^Ts':\quad y' = φy + (1 - φ)s',\quad
       φ = \frac{(1-u_2)s'^Ts'}{s'^Ts' - s'^Ty} $$

    after which s'ᵀy' ≥ u₂ s'ᵀs'. Given to `LBFGS(damping="double")`, or as a function with other numbers.

    Args:
        s: (n,) a step.
        y: (n,) change of the gradient.
        g: (n,) gradient at the end of the step; not looked at here.
        H: operator of the model; H.solve(y) is Hy.
        u1: in (0, 1), how much of the expected curvature is wanted.
        u2: in (0, 1), the least curvature.

    Returns:
        s and y.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LBFGS(damping=tz.m.double_damping)
    >>> from torchzero.linalg.operators import ScaledIdentity
    >>> s, y = torch.tensor([1.0, 0.0]), torch.tensor([0.25, 0.0])
    >>> s, y = tz.m.double_damping(s, y, y, ScaledIdentity(torch.tensor(1.0), 2))
    >>> s @ y
    tensor(0.3333)

    Reference: Goldfarb, Ren & Bahamou 2020, Practical quasi-Newton methods for training deep neural networks,
    algorithm 2, https://arxiv.org/abs/2006.08877
    """
    s, y = powell_damping(s, y, g, H, u1)
    sy, ss = s @ y, s @ s
    low = sy < u2 * ss
    gap = torch.where(low, ss - sy, 1.0)
    some = low & (gap > 0)
    phi = torch.where(some, (1 - u2) * ss / torch.where(some, gap, 1.0), 1.0)
    return s, torch.where(some, phi * y + (1 - phi) * s, y)
