"""Conjugate gradient methods: one row for each formula of β.

Textbooks write them for the direction -d; here d has the sign of the gradient. Throughout, y = u - g is the change of
the direction that comes in.
"""

from typing import Any

import torch
from torch import Tensor

from torchzero.conjugate_gradient.base import ConguateGradientBase, ratio
from torchzero.core.tree import Tree, dot, sub


class FletcherReeves(ConguateGradientBase):
    r"""The conjugate gradient method of Fletcher and Reeves.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = \frac{‖u_t‖^2}{‖u_{t-1}‖^2} $$

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β), which this β is anyway.
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.FletcherReeves(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Fletcher & Reeves 1964, https://doi.org/10.1093/comjnl/7.2.149
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        return ratio(dot(u, u), dot(g, g))


class PolakRibiere(ConguateGradientBase):
    r"""The conjugate gradient method of Polak, Ribière and Polyak; with its default clipping, PR+.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = \max\left(0, \frac{u_t · (u_t - u_{t-1})}{‖u_{t-1}‖^2}\right) $$

    Args:
        clip_beta: whether the maximum is taken; without it the method may cycle.
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.PolakRibiere(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Polak & Ribière 1969, https://doi.org/10.1051/m2an/196903R100351; Polyak 1969; the clipping is that of
    Gilbert & Nocedal 1992, https://doi.org/10.1137/0802003
    """

    def __init__(self, clip_beta: bool = True, restart_interval: int | str | None = "auto", inner: Any = None) -> None:
        self._write("clip_beta", clip_beta)
        self._write("restart_interval", restart_interval)
        self._write("inner", inner)
        self.__post_init__()

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        return ratio(dot(u, sub(u, g)), dot(g, g))


class HestenesStiefel(ConguateGradientBase):
    r"""The conjugate gradient method of Hestenes and Stiefel.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = -\frac{u_t · y_t}{d_{t-1} · y_t},\quad y_t = u_t - u_{t-1} $$

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.HestenesStiefel(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Hestenes & Stiefel 1952, https://doi.org/10.6028/jres.049.044
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        y = sub(u, g)
        return -ratio(dot(u, y), dot(d, y))


class DaiYuan(ConguateGradientBase):
    r"""The conjugate gradient method of Dai and Yuan.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = -\frac{‖u_t‖^2}{d_{t-1} · y_t},\quad y_t = u_t - u_{t-1} $$

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.DaiYuan(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Dai & Yuan 1999, https://doi.org/10.1137/S1052623497318992
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        return -ratio(dot(u, u), dot(d, sub(u, g)))


class ConjugateDescent(ConguateGradientBase):
    r"""Fletcher's conjugate descent.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = \frac{‖u_t‖^2}{u_{t-1} · d_{t-1}} $$

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.ConjugateDescent(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Fletcher 1987, Practical Methods of Optimization, 2nd edition, https://doi.org/10.1002/9781118723203
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        return ratio(dot(u, u), dot(g, d))


class LiuStorey(ConguateGradientBase):
    r"""The conjugate gradient method of Liu and Storey.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = \frac{u_t · (u_t - u_{t-1})}{u_{t-1} · d_{t-1}} $$

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.LiuStorey(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Liu & Storey 1991, https://doi.org/10.1007/BF00940464
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        return ratio(dot(u, sub(u, g)), dot(g, d))


class HagerZhang(ConguateGradientBase):
    r"""The conjugate gradient method of Hager and Zhang.

    $$ d_t = u_t + β_t d_{t-1},\quad
       β_t = -\frac{u_t}{d_{t-1} · y_t} · \left(y_t - 2 d_{t-1} \frac{‖y_t‖^2}{d_{t-1} · y_t}\right),\quad
       y_t = u_t - u_{t-1} $$

    The paper also bounds β from below, by $-1 / (‖d_{t-1}‖ \min(η, ‖u_{t-1}‖))$; that is left out here.

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β).
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.HagerZhang(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Hager & Zhang 2005, https://doi.org/10.1137/030601880
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        y = sub(u, g)
        dy = dot(d, y)
        return ratio(2 * ratio(dot(y, y), dy) * dot(u, d) - dot(u, y), dy)


class DYHS(ConguateGradientBase):
    r"""Dai and Yuan's hybrid of their method and that of Hestenes and Stiefel.

    $$ d_t = u_t + β_t d_{t-1},\quad β_t = \max(0, \min(β^{DY}_t, β^{HS}_t)),\quad
       β^{DY}_t = -\frac{‖u_t‖^2}{d_{t-1} · y_t},\quad β^{HS}_t = -\frac{u_t · y_t}{d_{t-1} · y_t} $$

    with $y_t = u_t - u_{t-1}$.

    Args:
        restart_interval: steps after which to start afresh: a whole number of at least 1, "auto" for one more than the
            number of elements of all parameters, None for never.
        clip_beta: use max(0, β), which this β is anyway.
        inner: a module or a sequence of modules, applied to the direction before everything else.

    Raises:
        ValueError: for a restart interval that is none.

    >>> import torch, torchzero as tz
    >>> cg, p = tz.m.DYHS(), torch.zeros(2)
    >>> state, _ = cg.step(cg.init(p), tz.Var(p, grad=torch.tensor([2.0, 0.0])))
    >>> cg.step(state, tz.Var(p, grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.5000, 1.0000])

    Reference: Dai & Yuan 2001, https://doi.org/10.1023/A:1012930416777
    """

    def beta(self, u: Tree, g: Tree, d: Tree) -> Tensor:
        y = sub(u, g)
        dy = dot(d, y)
        return torch.minimum(-ratio(dot(u, u), dy), -ratio(dot(u, y), dy)).clamp_min(0)
