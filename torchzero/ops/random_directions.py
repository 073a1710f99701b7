"""Random directions: one row for each distribution, or family of them.

Every step draws anew, a pure function of the seed and of the number of steps before. Every leaf has its own stream.
"""

import math
from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, nonnegative, number, static
from torchzero.core.hyper import is_number as _is_number
from torchzero.core.module import Module
from torchzero.core.safe import safe_sqrt
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class RandomState(NamedTuple):
    """State of a source of random directions."""

    key: Tensor  # (2,) int64   the stream of this module
    t: Tensor  # ()             draws made


def start(seed: Hyper, params: Tree) -> RandomState:
    """The state before the first draw."""
    return RandomState(random.key(seed, tree.reference(params).device), tree.counter(params))


def current(state: RandomState) -> Tensor:
    """The key of this step's draw."""
    return random.fold_in(state.key, state.t)


class RandomSample(Module):
    r"""A random direction.

    $$ d \sim D,\quad \mathrm{E}\,d = 0,\quad \mathrm{Var}\,d = σ^2 $$

    Args:
        distribution: "normal" (or "gaussian"), "uniform", "rademacher" (±σ), or "sphere": uniform on the sphere of
            radius $σ\sqrt n$ around 0, where n is the number of elements of all tensors together.
        variance: σ² of each element, at least 0. None stands for N(0, 1), U(-1, 1), ±1 and the sphere of radius 1.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: for a negative variance or an unknown distribution.

    >>> import torch, torchzero as tz
    >>> module = tz.m.RandomSample("rademacher", variance=4.0, seed=0)
    >>> module.step(module.init(torch.zeros(3)), tz.Var(torch.zeros(3)))[1].update.abs()
    tensor([2., 2., 2.])

    Reference: elementary; random search directions, e.g. Nesterov & Spokoiny 2017,
    https://doi.org/10.1007/s10208-015-9296-2
    """

    makes_update = True

    distribution: str = static("normal", choices=random.DISTRIBUTIONS)
    variance: Hyper = nonnegative(None)
    seed: Hyper = integer(0, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> RandomState:
        return start(self.seed, params)

    def update(self, state: RandomState, var: Var) -> RandomState:
        return state._replace(t=state.t + 1)

    def apply(self, state: RandomState, var: Var) -> Var:
        draw = random.sample_tree(current(state), var.params, self.distribution)
        if self.variance is None:
            return var.replace(update=draw)
        # what turns a draw with variance None into one with variance 1: U(-1, 1) has 1/3, the unit sphere 1/n
        unit = {"uniform": math.sqrt(3), "sphere": math.sqrt(tree.count(var.params))}.get(self.distribution, 1.0)
        return var.replace(update=tree.zipmap(lambda x, v: tree.cast(unit * _sqrt(v) * x, x), draw, self.variance))


class Randn(Module):
    r"""A standard normal direction.

    $$ d \sim N(0, I) $$

    Args:
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Randn(seed=0)
    >>> module.step(module.init(torch.zeros(3)), tz.Var(torch.zeros(3)))[1].update.shape
    torch.Size([3])

    Reference: elementary, as torch.randn.
    """

    makes_update = True

    seed: Hyper = integer(0, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> RandomState:
        return start(self.seed, params)

    def update(self, state: RandomState, var: Var) -> RandomState:
        return state._replace(t=state.t + 1)

    def apply(self, state: RandomState, var: Var) -> Var:
        return var.replace(update=random.sample_tree(current(state), var.params))


class Uniform(Module):
    r"""A direction with independent elements, uniform between two numbers.

    $$ d \sim U(a, b) $$

    Args:
        low: a, any number.
        high: b, at least a.
        seed: a whole number at least 0; None draws one from torch's generator when the module is built.

    Raises:
        ValueError: when high is below low.

    >>> import torch, torchzero as tz
    >>> module = tz.m.Uniform(2.0, 3.0, seed=0)
    >>> module.step(module.init(torch.zeros(3)), tz.Var(torch.zeros(3)))[1].update.floor()
    tensor([2., 2., 2.])

    Reference: elementary, as torch.rand.
    """

    makes_update = True

    low: Hyper = number()
    high: Hyper = number()
    seed: Hyper = integer(0, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if _is_number(self.low) and _is_number(self.high) and self.high < self.low:
            raise ValueError(f"Uniform(low={self.low!r}, high={self.high!r}): high must be at least low")
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init(self, params: Tree) -> RandomState:
        return start(self.seed, params)

    def update(self, state: RandomState, var: Var) -> RandomState:
        return state._replace(t=state.t + 1)

    def apply(self, state: RandomState, var: Var) -> Var:
        centred = random.sample_tree(current(state), var.params, "uniform")
        return var.replace(update=tree.zipmap(_between, centred, self.low, self.high))


def _between(x: Tensor, low: Any, high: Any) -> Tensor:
    return tree.cast(low + (high - low) * (x + 1) / 2, x)


def _sqrt(v: Any) -> Any:
    return safe_sqrt(v) if isinstance(v, Tensor) else math.sqrt(v)
