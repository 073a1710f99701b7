"""VectorTransform: modules written as functions of one vector: all parameters together, or tensor by tensor."""

from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import is_scalar
from torchzero.core.module import Module
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class AtVector(NamedTuple):
    """What a vector's rule may look at besides the direction."""

    params: Tree  # the parameters
    loss: Tensor | None  # () the loss at x0; None unless the class needs "value"
    var: Var  # everything else

    @property
    def x(self) -> Tensor:
        """The parameters as a vector (n,)."""
        return tree.ravel(self.params)[0]


def prefix_trees(module: Module, but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The hyperparameters that are given as trees of the parameters, but for some names."""
    return {k: v for k, v in module.hypers().items() if v is not None and not is_scalar(v) and k not in but}


def with_single_values(module: Module, but: frozenset[str] = frozenset()) -> Any:
    """A module with one value for each hyperparameter, where all parameters are one vector.

    Raises:
        ValueError: where a tree has different values.
    """
    changes = {}
    for name, value in prefix_trees(module, but).items():
        first, *rest = tree.leaves(value)
        if any(x is not first and (isinstance(x, Tensor) or x != first) for x in rest):
            raise ValueError(
                f"{type(module).__name__}({name}={value!r}): one vector over all parameters has one {name}; "
                "give a single value, concat_params=False where the module has it, or Partition the parameters"
            )
        changes[name] = first
    return module.evolve(**changes) if changes else module


class VectorTransform(Transform):
    """A module that is a function of a vector.

    Give `init_vector(x)`, `update_vector(state, u, at)`, `apply_vector(state, u, at)`, and `operator_vector(state)` if
    the module models curvature. All parameters are ravelled into one vector; a subclass with a static field
    `concat_params` treats every tensor by itself when it is False.

    A hyperparameter given as a tree has the value of its tensor where tensors are treated by themselves; one vector
    over all parameters has one value, except for the names in `per_element`, which arrive as they are.
    """

    whole: ClassVar[bool] = True
    per_element: ClassVar[frozenset[str]] = frozenset()

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

    def operator_blocks(self, states: Any) -> Any:
        """The curvature operator of all tensors, each treated by itself, from the tree of their states, or None."""
        return None

    @property
    def _together(self) -> bool:
        return getattr(self, "concat_params", True)

    def _single(self) -> Any:
        return with_single_values(self, self.per_element)

    def _each(self, params: Tree, n: int) -> list[Any]:
        """This module for every tensor."""
        trees = prefix_trees(self, self.per_element)
        if not trees:
            return [self] * n
        columns = zip(*(tree.spread(v, params) for v in trees.values()), strict=True)
        return [self.evolve(**dict(zip(trees, values, strict=True))) for values in columns]

    def init_tree(self, params: Tree) -> Any:
        if self._together:
            return self._single().init_vector(tree.ravel(params)[0])
        ps, spec = tree.flatten(params)
        each = self._each(params, len(ps))
        return tree.unflatten(spec, [me.init_vector(p.reshape(-1)) for me, p in zip(each, ps, strict=True)])

    def _look(self, params: Tree, var: Var) -> AtVector:
        return AtVector(params, var.loss if "value" in self.needs else None, var)

    def update_tree(self, state: Any, u: Tree, var: Var) -> Any:
        if self._together:
            look = self._look(var.params, var)
            return self._single().update_vector(state, tree.ravel(u)[0], look)
        us, spec = tree.flatten(u)
        each = self._each(u, len(us))
        rows = zip(each, spec.flatten_up_to(state), us, spec.flatten_up_to(var.params), strict=True)
        return tree.unflatten(spec, [me.update_vector(s, x.reshape(-1), self._look(p, var)) for me, s, x, p in rows])

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self._together:
            vector, unravel = tree.ravel(u)
            look = self._look(var.params, var)
            return unravel(self._single().apply_vector(state, vector, look))
        us, spec = tree.flatten(u)
        each = self._each(u, len(us))
        rows = zip(each, spec.flatten_up_to(state), us, spec.flatten_up_to(var.params), strict=True)
        outs = [me.apply_vector(s, x.reshape(-1), self._look(p, var)).reshape(x.shape) for me, s, x, p in rows]
        return tree.unflatten(spec, outs)

    def step(self, state: Any, var: Var) -> tuple[Any, Var]:
        if self.children() or not self._together:
            return super().step(state, var)
        me, look = self._single(), self._look(var.params, var)
        u, unravel = tree.ravel(var.update)
        state = tree.cast_like(me.update_vector(state, u, look), state)
        out = unravel(me.apply_vector(state, u, look))
        return state, var.replace(update=tree.cast_like(out, var.update))

    def operator(self, state: Any) -> Any:
        own = state.own if self.children() else state
        return self._single().operator_vector(own) if self._together else self.operator_blocks(own)
