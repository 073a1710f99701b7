"""The multipoint methods: Newton's method with more evaluations a step, and more correct digits for them."""

from torch import Tensor

from torchzero.second_order.base import HigherOrderMethodBase, Step


class TwoPointNewton(HigherOrderMethodBase):
    r"""Newton's step and a second one with the same Hessian, of third order.

    $$ y = x - H_x^{-1}g_x,\quad x^+ = x - H_x^{-1}(g_x + g_y) $$

    g and H are gradient and Hessian at the point in the index. One gradient is evaluated away from x. The incoming
    direction is not looked at.

    Args:
        lstsq: solve in the sense of least squares; where LU fails this is done anyway.
        derivatives_method: "batched_autograd", "autograd" or "func", which are the same.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.TwoPointNewton(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**4).sum() / 4)[0]
    tensor([1.7037])

    Reference: Sharma & Kumar 2018, https://doi.org/10.1016/j.jco.2018.02.001
    """

    points = 1

    def next(self, x: Tensor, g: Tensor, H: Tensor, step: Step) -> Tensor:
        y = x - step.solve(H, g)
        return x - step.solve(H, g + step.gradient(y))


class SixthOrder3P(HigherOrderMethodBase):
    r"""Three points, two Hessians, sixth order.

    $$ y = x - H_x^{-1}g_x,\quad z = y - H_y^{-1}g_y,\quad x^+ = y - H_y^{-1}(g_y + g_z) $$

    Two gradients and a Hessian are evaluated away from x. The incoming direction is not looked at.

    Args:
        lstsq: solve in the sense of least squares; where LU fails this is done anyway.
        derivatives_method: "batched_autograd", "autograd" or "func", which are the same.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SixthOrder3P(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**4).sum() / 4)[0]
    tensor([1.1358])

    Reference: Abro & Shaikh 2019, https://doi.org/10.1016/j.amc.2019.03.013
    """

    points = 3

    def next(self, x: Tensor, g: Tensor, H: Tensor, step: Step) -> Tensor:
        y = x - step.solve(H, g)
        H, g = step.hessian(y), step.gradient(y)
        z = y - step.solve(H, g)
        return y - step.solve(H, g + step.gradient(z))


class SixthOrder3PM2(HigherOrderMethodBase):
    r"""Three points, two Hessians of which one is inverted, sixth order.

    $$ y = x - H_x^{-1}g_x,\quad T = (2I - H_x^{-1}H_y)H_x^{-1},\quad z = y - Tg_y,\quad x^+ = z - Tg_z $$

    Two gradients and a Hessian are evaluated away from x. The incoming direction is not looked at.

    Args:
        lstsq: solve in the sense of least squares; where LU fails this is done anyway.
        derivatives_method: "batched_autograd", "autograd" or "func", which are the same.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SixthOrder3PM2(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**4).sum() / 4)[0]
    tensor([1.3290])

    Reference: Wang & Li 2017, https://doi.org/10.3390/a10020045
    """

    points = 3

    def next(self, x: Tensor, g: Tensor, H: Tensor, step: Step) -> Tensor:
        y = x - step.solve(H, g)
        later = step.hessian(y)

        def times(v: Tensor) -> Tensor:
            w = step.solve(H, v)
            return 2 * w - step.solve(H, later @ w)

        z = y - times(step.gradient(y))
        return z - times(step.gradient(z))


class SixthOrder5P(HigherOrderMethodBase):
    r"""Hessians at five points, averaged over both steps.

    $$ y = x - H_x^{-1}g_x,\quad A = H_x + 2H_{(x+y)/2} + H_y,\quad z = y - 4A^{-1}g_y, $$

    $$ B = H_x + 2H_{(x+z)/2} + H_z,\quad x^+ = z - 4B^{-1}g_z $$

    Two gradients and four Hessians are evaluated away from x. The incoming direction is not looked at. The name is that
    of the publication; an average from x to y is one order in error as the Hessian at y, so that the error of a step is
    of fourth order, which is also what one measures.

    Args:
        lstsq: solve in the sense of least squares; where LU fails this is done anyway.
        derivatives_method: "batched_autograd", "autograd" or "func", which are the same.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.SixthOrder5P(), torch.tensor([3.0])
    >>> opt(x, opt.init(x), lambda x: (x**4).sum() / 4)[0]
    tensor([1.3419])

    Reference: Argyros, Shakhno, Yarmola & Regmi 2023, https://doi.org/10.3390/foundations3010014
    """

    points = 6

    def next(self, x: Tensor, g: Tensor, H: Tensor, step: Step) -> Tensor:
        y = x - step.solve(H, g)
        A = H + 2 * step.hessian((x + y) / 2) + step.hessian(y)
        z = y - 4 * step.solve(A, step.gradient(y))
        B = H + 2 * step.hessian((x + z) / 2) + step.hessian(z)
        return z - 4 * step.solve(B, step.gradient(z))
