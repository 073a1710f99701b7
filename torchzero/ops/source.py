"""Directions that owe nothing to the one that comes in, and modules that leave it alone: one row for each."""

from typing import Any

from torchzero.core import tree
from torchzero.core.hyper import Hyper, number
from torchzero.core.module import Module
from torchzero.core.var import Var


class Identity(Module):
    r"""Hand everything on as it is.

    $$ d = u $$

    Args:
        args: anything; ignored.
        kwargs: anything; ignored.

    >>> import torch, torchzero as tz
    >>> tz.m.Identity().step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-2.,  3.])

    Reference: elementary.
    """

    locality = "elementwise"
    conservative = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._validate()


class Clone(Module):
    r"""Hand everything on as it is: modules never write into what they are given, so that nothing needs to be copied.

    $$ d = u $$

    >>> import torch, torchzero as tz
    >>> tz.m.Clone().step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([-2.,  3.])

    Reference: elementary.
    """

    locality = "elementwise"
    conservative = True


class Grad(Module):
    r"""The gradient, whatever came before.

    $$ d = ∇f(θ) $$

    >>> import torch, torchzero as tz
    >>> chain = tz.Chain(tz.m.Sign(), tz.m.Grad())
    >>> chain.step(chain.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.tensor([3.0])))[1].update
    tensor([3.])

    Reference: elementary.
    """

    locality = "elementwise"
    conservative = True
    needs = frozenset({"grad"})

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=var.grad)


class Params(Module):
    r"""The parameters as a direction.

    $$ d = θ $$

    >>> import torch, torchzero as tz
    >>> tz.m.Params().step((), tz.Var(torch.tensor([5.0]), grad=torch.tensor([3.0])))[1].update
    tensor([5.])

    Reference: elementary.
    """

    locality = "elementwise"
    needs = frozenset({"params"})
    makes_update = True

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=var.params)


class Zeros(Module):
    r"""Zeros: a step that goes nowhere.

    $$ d = 0 $$

    >>> import torch, torchzero as tz
    >>> tz.m.Zeros().step((), tz.Var(torch.tensor([5.0]), grad=torch.tensor([3.0])))[1].update
    tensor([0.])

    Reference: elementary.
    """

    locality = "elementwise"
    makes_update = True

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=tree.zeros_like(var.params))


class Ones(Module):
    r"""Ones.

    $$ d = 1 $$

    >>> import torch, torchzero as tz
    >>> tz.m.Ones().step((), tz.Var(torch.tensor([5.0]), grad=torch.tensor([3.0])))[1].update
    tensor([1.])

    Reference: elementary.
    """

    locality = "elementwise"
    makes_update = True

    def apply(self, state: Any, var: Var) -> Var:
        return var.replace(update=tree.ones_like(var.params))


class Fill(Module):
    r"""The same number everywhere.

    $$ d = c $$

    Args:
        value: c, any number.

    >>> import torch, torchzero as tz
    >>> tz.m.Fill(0.5).step((), tz.Var(torch.zeros(2), grad=torch.tensor([-2.0, 3.0])))[1].update
    tensor([0.5000, 0.5000])

    Reference: elementary.
    """

    locality = "elementwise"
    makes_update = True

    value: Hyper = number()

    def apply(self, state: Any, var: Var) -> Var:
        filled = tree.full_like(var.params, self.value)
        return var.replace(update=tree.cast_like(filled, var.params))
