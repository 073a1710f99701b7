"""RandomStepSize: the update times a random number."""

from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, number, static
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class RandomStepSizeState(NamedTuple):
    """State of RandomStepSize."""

    key: Tensor  # (2,)   key of all steps
    t: Tensor  # ()       updates absorbed


class RandomStepSize(Transform):
    r"""Multiply the update by a random factor, drawn anew in every step.

    $$ d_t = s_t u_t,\quad s_t \sim U(a, b) $$

    Args:
        low: a.
        high: b.
        parameterwise: draw one factor for each tensor instead of one for all.
        seed: whole number ≥ 0; None takes one from torch's generator when the module is made.

    Raises:
        ValueError: for a bound that is not finite, or a negative seed.

    >>> import torch, torchzero as tz
    >>> noisy, p = tz.m.RandomStepSize(1, 2, seed=0), torch.zeros(1)
    >>> noisy(p, noisy.init(p), grad=-torch.ones(1))[0]
    tensor([1.1967])

    Reference: none; made for this library.
    """

    low: Hyper = number(0)
    high: Hyper = number(1)
    parameterwise: bool = static(False)
    seed: Hyper = integer(0, None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init_tree(self, params: Tree) -> RandomStepSizeState:
        return RandomStepSizeState(random.key(self.seed, tree.reference(params).device), tree.counter(params))

    def update_tree(self, state: RandomStepSizeState, u: Tree, var: Var) -> RandomStepSizeState:
        return state._replace(t=state.t + 1)

    def apply_tree(self, state: RandomStepSizeState, u: Tree, var: Var) -> Tree:
        key = random.fold_in(state.key, state.t)
        leaves, spec = tree.flatten(u)
        if self.parameterwise:
            keys = [random.fold_in(key, i) for i in range(len(leaves))]
            units = [random.uniform(k, (), dtype=torch.float64).to(x.device) for k, x in zip(keys, leaves, strict=True)]
        else:
            unit = random.uniform(key, (), dtype=torch.float64)
            units = [unit.to(x.device) for x in leaves]
        return tree.zipmap(
            lambda x, r, low, high: x * (low + (high - low) * r), u, tree.unflatten(spec, units), self.low, self.high
        )
