"""Simple modules to stand beside the one under test."""

from typing import Any, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, number, within
from torchzero.core.module import Module
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class Scaled(TensorwiseTransform):
    """Multiply the update by a number."""

    locality = "elementwise"

    factor: Hyper = number()

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return self.factor * u


class MeanState(NamedTuple):
    """State of one tensor."""

    mean: Tensor  # like param   running mean of u


class Mean(TensorwiseTransform):
    """The running mean of the updates."""

    locality = "elementwise"

    beta: Hyper = within(0, 1, default=0.5)

    def init_tensor(self, param: Tensor) -> MeanState:
        return MeanState(param * 0)

    def update_tensor(self, state: MeanState, u: Tensor, at: At) -> MeanState:
        return MeanState(self.beta * state.mean + (1 - self.beta) * u)

    def apply_tensor(self, state: MeanState, u: Tensor, at: At) -> Tensor:
        return state.mean


class Group(Module):
    """A module run as update and then apply, behind a wall that Chain does not flatten."""

    body: Module = child()

    def init(self, params: Tree) -> Any:
        return self.body.init(params)

    def update(self, state: Any, var: Var) -> Any:
        return self.body.update(state, var)

    def apply(self, state: Any, var: Var) -> Var:
        return self.body.apply(state, var)

    def child_state(self, state: Any, name: str) -> Any:
        return state


def same_module(module: Module) -> Module:
    """An equal module rebuilt from its fields alone."""
    leaves, spec = tree.flatten(module)
    return tree.unflatten(spec, leaves)
