"""powell_damping: bend a pair with too little curvature towards what the model expects."""

import torch
from torch import Tensor

from torchzero.linalg.operators.base import Operator


def powell_damping(s: Tensor, y: Tensor, g: Tensor, H: Operator, u: float | Tensor = 0.2) -> tuple[Tensor, Tensor]:
    r"""Powell's damping in its form for the inverse Hessian.

    $$ \text{if}\ s^Ty < u\,y^THy:\quad s' = φs + (1 - φ)Hy,\quad φ = \frac{(1-u)y^THy}{y^THy - s^Ty} $$

    after which s'ᵀy = u yᵀHy. Given to `LBFGS(damping="powell")`, or as a function with another u.

    Args:
        s: (n,) a step.
        y: (n,) change of the gradient.
        g: (n,) gradient at the end of the step; not looked at here.
        H: operator of the model; H.solve(y) is Hy.
        u: in (0, 1), how much of the expected curvature is wanted.

    Returns:
        s and y.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.LBFGS(damping=tz.m.powell_damping)
    >>> from torchzero.linalg.operators import ScaledIdentity
    >>> s, y = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])
    >>> s, y = tz.m.powell_damping(s, y, y, ScaledIdentity(torch.tensor(1.0), 2))
    >>> s @ y
    tensor(0.2000)

    Reference: Powell 1978; for the inverse Goldfarb, Ren & Bahamou 2020, https://arxiv.org/abs/2006.08877
    """
    Hy = H.solve(y)
    sy, yHy = s @ y, y @ Hy
    low = sy < u * yHy
    gap = torch.where(low, yHy - sy, 1.0)
    some = low & (gap > 0)
    phi = torch.where(some, (1 - u) * yHy / torch.where(some, gap, 1.0), 1.0)
    return torch.where(some, phi * s + (1 - phi) * Hy, s), y
