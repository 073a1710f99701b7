"""Elementwise functions of the direction: one row for each function."""

import torch

from torchzero.core.safe import safe_sqrt
from torchzero.ops.base import UnaryOperationBase


class Abs(UnaryOperationBase):
    r"""The absolute value; its derivative at 0 is 0.

    $$ d = |u| $$

    >>> import torch, torchzero as tz
    >>> tz.m.Abs().step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([2., 3.])

    Reference: elementary, as torch.abs.
    """

    function = staticmethod(torch.abs)


class Cos(UnaryOperationBase):
    r"""The cosine.

    $$ d = \cos u $$

    >>> import torch, torchzero as tz
    >>> tz.m.Cos().step((), tz.Var(torch.zeros(2), grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([1.0000, 0.5403])

    Reference: elementary, as torch.cos.
    """

    function = staticmethod(torch.cos)


class Exp(UnaryOperationBase):
    r"""The exponential function.

    $$ d = e^u $$

    >>> import torch, torchzero as tz
    >>> tz.m.Exp().step((), tz.Var(torch.zeros(2), grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([1.0000, 2.7183])

    Reference: elementary, as torch.exp.
    """

    function = staticmethod(torch.exp)


class Negate(UnaryOperationBase):
    r"""The opposite direction: ascent instead of descent.

    $$ d = -u $$

    >>> import torch, torchzero as tz
    >>> tz.m.Negate().step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([ 2., -3.])

    Reference: elementary, as torch.neg.
    """

    function = staticmethod(torch.neg)


class Sign(UnaryOperationBase):
    r"""The sign; 0 stays 0.

    $$ d = \mathrm{sign}(u) $$

    >>> import torch, torchzero as tz
    >>> tz.m.Sign().step((), tz.Var(torch.zeros(3), grad=torch.tensor([-2.0, 0.0, 3.0])))[1].update
    tensor([-1.,  0.,  1.])

    Reference: Bernstein et al. 2018, signSGD, https://arxiv.org/abs/1802.04434
    """

    function = staticmethod(torch.sign)


class Sin(UnaryOperationBase):
    r"""The sine.

    $$ d = \sin u $$

    >>> import torch, torchzero as tz
    >>> tz.m.Sin().step((), tz.Var(torch.zeros(2), grad=torch.tensor([0.0, 1.0])))[1].update
    tensor([0.0000, 0.8415])

    Reference: elementary, as torch.sin.
    """

    function = staticmethod(torch.sin)


class Sqrt(UnaryOperationBase):
    r"""The square root; NaN for negative elements, and at 0 the derivative is taken to be 0.

    $$ d = \sqrt{u} $$

    >>> import torch, torchzero as tz
    >>> tz.m.Sqrt().step((), tz.Var(torch.zeros(2), grad=torch.tensor([0.0, 9.0])))[1].update
    tensor([0., 3.])

    Reference: elementary, as torch.sqrt.
    """

    function = staticmethod(safe_sqrt)
