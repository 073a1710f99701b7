"""VectorTransform: modules written as functions of one vector: all parameters together, or tensor by tensor."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class AtVector(NamedTuple):
    """What a vector's rule may look at besides the direction."""

    x: Tensor  # (n,) the parameters
    loss: Tensor | None  # () the loss at x0; None unless the class needs "value"
    var: Var  # everything else


class VectorTransform(Transform):
    """A module that is a function of a vector.

    Give `init_vector(x)`, `update_vector(state, u, at)`, `apply_vector(state, u, at)`, and `operator_vector(state)` if
    the module models curvature. All parameters are ravelled into one vector; a subclass with a static field
    `concat_params` treats every tensor by itself when it is False.
    """

    whole: ClassVar[bool] = True

    def init_vector(self, x: Tensor) -> Any:
        """The state before the first step."""
        return ()

    def update_vector(self, state: Any, u: Tensor, at: AtVector) -> Any:
        """Absorb the direction u (n,)."""
        return state

    def apply_vector(self, state: Any, u: Tensor, at: AtVector) -> Tensor:
        """The new direction (n,)."""
        return u

    def operator_vector(self, state: Any) -> Any:
        """The curvature operator of one vector, or None."""
        return None

    @property
    def _together(self) -> bool:
        return getattr(self, "concat_params", True)

    def init_tree(self, params: Tree) -> Any:
        if self._together:
            return self.init_vector(tree.ravel(params)[0])
        return tree.map(lambda p: self.init_vector(p.reshape(-1)), params)

    def _look(self, x: Tensor, var: Var) -> AtVector:
        return AtVector(x, var.loss if "value" in self.needs else None, var)

    def update_tree(self, state: Any, u: Tree, var: Var) -> Any:
        if self._together:
            return self.update_vector(state, tree.ravel(u)[0], self._look(tree.ravel(var.params)[0], var))
        us, spec = tree.flatten(u)
        rows = zip(spec.flatten_up_to(state), us, spec.flatten_up_to(var.params), strict=True)
        return tree.unflatten(
            spec, [self.update_vector(s, x.reshape(-1), self._look(p.reshape(-1), var)) for s, x, p in rows]
        )

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self._together:
            vector, unravel = tree.ravel(u)
            return unravel(self.apply_vector(state, vector, self._look(tree.ravel(var.params)[0], var)))
        us, spec = tree.flatten(u)
        rows = zip(spec.flatten_up_to(state), us, spec.flatten_up_to(var.params), strict=True)
        outs = [
            self.apply_vector(s, x.reshape(-1), self._look(p.reshape(-1), var)).reshape(x.shape) for s, x, p in rows
        ]
        return tree.unflatten(spec, outs)

    def operator(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return self.operator_vector(own) if self._together else None
