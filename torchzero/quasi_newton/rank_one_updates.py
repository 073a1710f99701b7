"""Updates that are not symmetric, mostly of rank one: one row for each formula."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper
from torchzero.core.safe import safe_norm
from torchzero.quasi_newton.base import HessianUpdateState, HessianUpdateStrategy, Pair, above, away, outer


def secant(H: Tensor, s: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """H - (Hy - s)cᵀ/cᵀy, which maps y to s, and whether it can be formed."""
    ok, cy = away(c @ y)
    return H + outer(s - H @ y, c / cy), ok


class BroydenGood(HessianUpdateStrategy, init=False):
    r"""Broyden's first method, called the good one.

    $$ H' = H - \frac{(Hy - s)c^T}{c^Ty},\ c = H^Ts;\quad B' = B + \frac{(y - Bs)s^T}{s^Ts} $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.BroydenGood(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Broyden 1965, A class of methods for solving nonlinear simultaneous equations, method 1,
    https://doi.org/10.1090/S0025-5718-1965-0198670-6
    """

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, s @ H)

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(B, y, s, s)


class BroydenBad(HessianUpdateStrategy, init=False):
    r"""Broyden's second method, called the bad one.

    $$ H' = H + \frac{(s - Hy)y^T}{y^Ty};\quad B' = B + \frac{(y - Bs)y^T}{y^Ts} $$

    The second is the inverse of the first where B = I only.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.BroydenBad(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Broyden 1965, A class of methods for solving nonlinear simultaneous equations, method 2,
    https://doi.org/10.1090/S0025-5718-1965-0198670-6
    """

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, y)

    def update_direct(self, B: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(B, y, s, y)


class Greenstadt1(HessianUpdateStrategy, init=False):
    r"""Greenstadt's first method: a correction along the previous gradient.

    $$ H' = H - \frac{(Hy - s)c^T}{c^Ty},\quad c = u_{t-1} $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Greenstadt1(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Greenstadt 1970, Variations on variable-metric methods, https://doi.org/10.2307/2004504; Spedicato &
    Huang 1997, https://doi.org/10.1007/BF02684472
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, pair.u_prev)


class Greenstadt2(HessianUpdateStrategy, init=False):
    r"""Greenstadt's second method.

    $$ H' = H - \frac{(Hy - s)c^T}{c^Ty},\quad c = HHy $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Greenstadt2(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Greenstadt 1970, Variations on variable-metric methods, https://doi.org/10.2307/2004504; Spedicato &
    Huang 1997, https://doi.org/10.1007/BF02684472
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, H @ (H @ y))


class ICUM(HessianUpdateStrategy, init=False):
    r"""Inverse column updating: the column of H changes that belongs to the largest element of y.

    $$ H'_{:j} = H_{:j} + \frac{s - Hy}{y_j},\quad j = \arg\max|y_j| $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.ICUM(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Lopes & Martínez 1995, Convergence properties of the inverse column-updating method,
    https://doi.org/10.1080/10556789508805628
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        if not y.numel():
            return H, torch.zeros((), dtype=torch.bool, device=y.device)
        column = torch.arange(y.numel(), device=y.device) == y.abs().argmax()
        return secant(H, s, y, column.to(y.dtype))


class Pearson(HessianUpdateStrategy, init=False):
    r"""Pearson's third method.

    $$ H' = H + \frac{(s - Hy)y^TH}{y^THy} $$

    with Hy in place of yᵀH.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.Pearson(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Pearson 1969, Variable metric methods of minimisation, https://doi.org/10.1093/comjnl/12.2.171
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, H @ y)


class McCormick(HessianUpdateStrategy, init=False):
    r"""McCormick's method, the second in Pearson's paper.

    $$ H' = H + \frac{(s - Hy)s^T}{s^Ty} $$

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.McCormick(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Pearson 1969, Variable metric methods of minimisation, https://doi.org/10.1093/comjnl/12.2.171
    """

    sides = (True,)

    def update_inverse(self, H: Tensor, s: Tensor, y: Tensor, pair: Pair) -> tuple[Tensor, Tensor]:
        return secant(H, s, y, s)


class ThomasOptimalMethod(HessianUpdateStrategy, init=False):
    r"""Thomas's optimal method, which keeps a matrix of its own to choose the correction.

    $$ d = (R + \tfrac12‖s‖I)s,\quad H' = H - \frac{(Hy - s)c^T}{c^Ty},\ c = H^Td,\quad
       R' = (1 + ‖s‖)\Bigl(‖s‖I + R - \frac{dd^T}{d^Ts}\Bigr) $$

    with R = I at first and after a restart.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; there is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.ThomasOptimalMethod(), torch.tensor([1.0])
    >>> state = opt.init(x)
    >>> for _ in range(2):
    ...     x, state = opt(x, state, lambda x: 0.25 * (x**2).sum())
    >>> x
    tensor([0.])

    Reference: Thomas 1975, Sequential estimation techniques for quasi-Newton algorithms, thesis, Cornell University.
    """

    sides = (True,)

    def second(self, P: Tensor) -> Tensor:
        return torch.eye(len(P), dtype=P.dtype, device=P.device)

    def update_both(self, P: Tensor, R: Tensor, pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
        s, length, eye = pair.s, safe_norm(pair.s), self.second(P)
        d = R @ s + length / 2 * s
        some, ds = above(d @ s)
        H, ok = secant(P, s, pair.y, d @ P)
        return H, (1 + length) * (length * eye + R - outer(d, d) / ds), ok & some


class ProjectedNewtonRaphson(HessianUpdateStrategy):
    r"""Pearson's projected Newton–Raphson: directions already learned are projected out until a restart.

    $$ H' = H - \frac{Hyy^TH}{y^THy},\quad R' = R + \frac{(s - Ry)(Hy)^T}{y^THy} $$

    and once in `restart_interval` updates H = R, which by then maps every y to its s. R = I at first.

    Args:
        init_scale: as all arguments, see HessianUpdateStrategy; `restart_interval` is "auto", one more than the number
            of parameters. There is no formula of B.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.ProjectedNewtonRaphson(init_scale=1)
    >>> state = opt.init(torch.zeros(2))
    >>> for x in (0.0, 1.0):
    ...     state, var = opt.step(state, tz.Var(torch.tensor([x, 0.0]), objective=lambda x: (x**2).sum()))
    >>> state.P.diagonal(), state.R.diagonal()
    (tensor([0., 1.]), tensor([0.5000, 1.0000]))

    Reference: Pearson 1969, Variable metric methods of minimisation, algorithm 7,
    https://doi.org/10.1093/comjnl/12.2.171
    """

    sides = (True,)

    def __init__(
        self,
        init_scale: Any = "auto",
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
            inner=inner,
        )

    def second(self, P: Tensor) -> Tensor:
        return torch.eye(len(P), dtype=P.dtype, device=P.device)

    def begun_again(self, state: HessianUpdateState, P: Tensor) -> tuple[Tensor, Tensor]:
        return state.R, state.R

    def update_both(self, P: Tensor, R: Tensor, pair: Pair) -> tuple[Tensor, Tensor, Tensor]:
        Hy = P @ pair.y
        ok, yHy = away(pair.y @ Hy)
        return P - outer(Hy, Hy) / yHy, R + outer(pair.s - R @ pair.y, Hy) / yHy, ok
