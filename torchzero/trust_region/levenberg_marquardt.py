"""LevenbergMarquardt: a damped Newton step, the damping the inverse of the radius."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, is_number, static, within
from torchzero.core.safe import safe_norm, safe_sqrt
from torchzero.linalg.operators import Operator
from torchzero.trust_region.base import TrustRegionBase, numbers


class LevenbergMarquardt(TrustRegionBase):
    r"""Damp the curvature by as much as the model is distrusted.

    $$ d = \left(B + \frac{D}{Δ}\right)^{-1}u,\quad D = (1-y)I + y\,\mathrm{diag}(B) $$

    and with `adaptive` $\sqrt{‖u‖}/Δ$ in place of 1/Δ. Entries of diag(B) that are not positive count as 1. Δ is not a
    length here: it is multiplied by nplus or nminus whatever ‖d‖ is. See `TrustRegionBase` for its rules.

    Args:
        hess_module: module that models the curvature, such as GaussNewton, Newton, BFGS or LBFGS.
        eta: least ρ of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ρ above which Δ grows.
        rho_bad: ρ below which Δ shrinks.
        init: first Δ > 0. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        radius_strategy: "default", or "fixed" for a Δ that stays and one trial, taken unless it is not finite.
        y: between 0 (Levenberg) and 1 (Marquardt).
        adaptive: scale the damping with the size of u.
        update_freq: steps between two updates of the curvature, a whole number ≥ 1.
        inner: module that makes the direction which is solved for.
        keep_grad: evaluate the gradient with every trial, so that nobody has to after the step.

    Raises:
        ValueError: for a number outside its range.
        TypeError: if `hess_module` models no curvature.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.LevenbergMarquardt(tz.m.Newton()), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([1.])

    Reference: Levenberg 1944, https://doi.org/10.1090/qam/10666; Marquardt 1963, https://doi.org/10.1137/0111030
    """

    y: Hyper = within(0, 1, default=0.0, closed_high=True)
    adaptive: bool = static(False)

    def __init__(
        self,
        hess_module: Chainable,
        eta: Hyper = 0.0,
        nplus: Hyper = 3.5,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.99,
        rho_bad: Hyper = 1e-4,
        init: Hyper = 1.0,
        max_attempts: Hyper = 10,
        radius_strategy: str = "default",
        y: Hyper = 0.0,
        adaptive: bool = False,
        update_freq: Hyper = 1,
        inner: Chainable | None = None,
        keep_grad: bool = False,
    ) -> None:
        self._set(
            hess_module=hess_module,
            eta=eta,
            nplus=nplus,
            nminus=nminus,
            rho_good=rho_good,
            rho_bad=rho_bad,
            initial=init,
            max_attempts=max_attempts,
            radius_strategy=radius_strategy,
            y=y,
            adaptive=adaptive,
            update_freq=update_freq,
            inner=inner,
            keep_grad=keep_grad,
        )

    @property
    def by_length(self) -> bool:
        return False

    def prepare(self, B: Operator, u: Tensor, f0: Tensor, value: Any) -> tuple[Tensor, int]:
        if is_number(self.y) and self.y == 0:
            return torch.ones_like(u), 0
        (y,) = numbers(self, u, "y")
        diagonal = B.diagonal()
        diagonal = torch.where(diagonal > 2 * torch.finfo(u.dtype).tiny, diagonal, torch.ones_like(diagonal))
        return (1 - y) + y * diagonal, 0

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Tensor) -> Tensor:
        size = safe_sqrt(safe_norm(u)) if self.adaptive else 1.0
        if is_number(self.y) and self.y == 0:
            return B.solve_shifted(u, size / radius)
        return B.solve_shifted(u, prepared * (size / radius))
