"""The projected gradient method: conjugate directions by projecting what was seen out of a matrix."""

from typing import Any

from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper
from torchzero.quasi_newton.base import HessianUpdateState, HessianUpdateStrategy, Pair, above, outer


class ProjectedGradientMethod(HessianUpdateStrategy):
    r"""Pearson's projected gradient method: conjugate gradients with a matrix in place of β.

    $$ d_t = H_t u_t,\quad H_{t+1} = H_t - \frac{H_t y y^T H_t}{y^T H_t y},\quad y = u_{t+1} - u_t,\quad H_0 = I $$

    H maps every change of the gradient since the last restart to zero, so on a quadratic the direction is conjugate to
    all steps since then. It is a projection and not a model of the inverse Hessian, so this module offers no curvature
    operator to others.

    Args:
        init_scale: H₀ is I divided by this, positive; "auto" for sᵀy/yᵀy of the first pair.
        tol: a pair with yᵀHy ≤ tol is not used, ≥ 0.
        ptol: pairs in which no parameter moved by more are not used, ≥ 0.
        ptol_restart: restart after a step that short.
        gtol: pairs in which no element of the update changed by more are not used, ≥ 0.
        restart_interval: set H back to H₀ once in so many updates, whole and ≥ 1; "auto" for one more than the number
            of elements, None for never.
        beta: β in [0, 1): use βH + (1-β)H' in place of the new matrix H'.
        update_freq: absorb only one update in so many, whole and ≥ 1.
        scale_first: make the first step no longer than 1/‖u‖₁ times u.
        concat_params: one matrix over all parameters; else one for each tensor.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.ProjectedGradientMethod(), torch.zeros(2)
    >>> state, _ = opt.step(opt.init(p), tz.Var(p, grad=torch.tensor([1.0, 0.0])))
    >>> opt.step(state, tz.Var(p + 1, grad=torch.tensor([3.0, 4.0])))[1].update
    tensor([ 0.8000, -0.4000])
    >>> opt.step(state, tz.Var(p + 1, grad=torch.tensor([3.0, 0.0])))[1].update
    tensor([0., 0.])

    Reference: Pearson 1969, Variable metric methods of minimisation, algorithm 5, https://doi.org/10.1093/comjnl/12.2.171
    """

    sides = (True,)

    def __init__(
        self,
        init_scale: Any = 1,
        tol: Hyper = 1e-32,
        ptol: Hyper = 1e-32,
        ptol_restart: bool = False,
        gtol: Hyper = 1e-32,
        restart_interval: Any = "auto",
        beta: Hyper = None,
        update_freq: Hyper = 1,
        scale_first: bool = False,
        concat_params: bool = True,
        inner: Chainable | None = None,
    ) -> None:
        self._set(
            init_scale=init_scale,
            tol=tol,
            ptol=ptol,
            ptol_restart=ptol_restart,
            gtol=gtol,
            restart_interval=restart_interval,
            beta=beta,
            update_freq=update_freq,
            scale_first=scale_first,
            concat_params=concat_params,
            inverse=True,
            inner=inner,
        )

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        Hy = H @ y
        ok, yHy = above(y @ Hy, self.tol)
        return H - outer(Hy, Hy / yHy), ok

    def operator_vector(self, state: HessianUpdateState) -> Any:
        return None
