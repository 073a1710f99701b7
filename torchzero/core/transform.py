"""Transform and TensorwiseTransform: modules written as functions of a tree, or of one tensor."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import is_scalar
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class Nested(NamedTuple):
    """State of a transform that has children."""

    own: Any  # the transform's own state
    children: dict[str, Any]  # state of each child, by field name


class Transform(Module):
    """A module that is a function of a tree of tensors.

    Give `init_tree(params)`, `update_tree(state, u, var)` and `apply_tree(state, u, var)`; every dtype is restored
    afterwards, so formulas need not care.

    Two kinds of children are run by this class. `inner` transforms the direction between update and apply. A field
    named in `buffer_modules` transforms a buffer: the slot of the state is replaced by the child's output whenever
    `apply_tree` looks at it, and the buffer itself is never touched.

    A class that `scales` gives `multiplier(state, u, var)` in place of `apply_tree`, so that nobody needs to make the
    product before it is used.
    """

    buffer_modules: ClassVar[Mapping[str, str]] = {}  # slot of the state -> field with its child
    scales: ClassVar[bool] = False  # whether the direction is multiplied by one number

    def init_tree(self, params: Tree) -> Any:
        """The state before the first step."""
        return ()

    def update_tree(self, state: Any, u: Tree, var: Var) -> Any:
        """Absorb the direction `u`."""
        return state

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        """The new direction."""
        return tree.scale(self.multiplier(state, u, var), u) if self.scales else u

    def multiplier(self, state: Any, u: Tree, var: Var) -> Any:
        """What a class that `scales` multiplies the direction by: a number, or a tree with one for each setting."""
        raise TypeError(f"{type(self).__name__} must implement multiplier(state, u, var)")

    def buffer_input(self, slot: str, state: Any) -> Tree:
        """What the child of `slot` is given; the slot itself unless a class says otherwise."""
        return getattr(state, slot)

    def init(self, params: Tree) -> Any:
        own = self.init_tree(params)
        kids = self.children()
        return Nested(own, {name: kid.init(params) for name, kid in kids.items()}) if kids else own

    def update(self, state: Any, var: Var) -> Any:
        if self.children():
            return self.update_nested(state, var)
        return tree.cast_like(self.update_tree(state, var.update, var), state)

    def update_nested(self, state: Nested, var: Var) -> Nested:
        """`update` where there are children."""
        u, kids = var.update, self.children()
        own = tree.cast_like(self.update_tree(state.own, u, var), state.own)
        inputs = {field: self.buffer_input(slot, own) for slot, field in self.buffer_modules.items() if field in kids}
        states = {k: kid.update(state.children[k], var.replace(update=inputs.get(k, u))) for k, kid in kids.items()}
        return Nested(own, states)

    def apply(self, state: Any, var: Var) -> Var:
        u, kids, own = var.update, self.children(), state
        if kids:
            own = state.own
            seen = {}
            for slot, field in self.buffer_modules.items():
                if field in kids:
                    given = var.replace(update=self.buffer_input(slot, own))
                    seen[slot] = kids[field].apply(state.children[field], given).update
            own = own._replace(**seen) if seen else own
            if "inner" in kids:
                u = kids["inner"].apply(state.children["inner"], var).update
        return var.replace(update=tree.cast_like(self.apply_tree(own, u, var), u))

    def child_state(self, state: Any, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: Any) -> Any:
        kids = self.children()
        if not kids:
            return self.reset_tree(state)
        states = {k: kid.reset_for_online(state.children[k]) for k, kid in kids.items()}
        return Nested(self.reset_tree(state.own), states)

    def reset_tree(self, state: Any) -> Any:
        """The own state without what belongs to the previous evaluation."""
        return state


class At(NamedTuple):
    """What one tensor's rule may look at besides the direction."""

    param: Tensor  # the parameter
    grad: Tensor | None  # its gradient; None unless the class needs "grad"
    loss: Tensor | None  # () the loss at x0; None unless the class needs "value"
    scalars: Any  # what `scalars` returned; None if the state has no slot t


class TensorwiseTransform(Transform):
    """A module that is a function of one tensor.

    Give `init_tensor(param)`, `update_tensor(state, u, at)` and `apply_tensor(state, u, at)`. The state is a
    NamedTuple (or `()`), and the module's state is that NamedTuple with a tree like the parameters in every slot.

    A slot called `t` counts the updates absorbed: declare it as `tree.counter(param)` and this class advances it, so
    `state.t` is 1 in the first update_tensor. What depends on `t` and the hyperparameters alone belongs into
    `scalars(t)`, which runs once a step rather than once a tensor.

    Hyperparameters given as prefix trees arrive as the scalars of their tensor.
    """

    def init_tensor(self, param: Tensor) -> Any:
        """The state of one tensor."""
        return ()

    def scalars(self, t: Tensor) -> Any:
        """What depends on the count and the hyperparameters alone; `t` is a 0-d float64 tensor."""
        return None

    def update_tensor(self, state: Any, u: Tensor, at: At) -> Any:
        """Absorb one tensor's direction."""
        return state

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        """One tensor's new direction."""
        return u

    def step_tensor(self, state: Any, u: Tensor, at: At) -> tuple[Any, Tensor]:
        """Both functions on one tensor, its slot `t` counted already: the new state and direction, dtypes restored."""
        if not _is_absent(state):
            state = _kept(self.update_tensor(state, u, at), state)
        out = self.apply_tensor(state, u, at)
        return state, out if out.dtype == u.dtype else out.to(u.dtype)

    def init_tree(self, params: Tree) -> Any:
        leaves, spec = tree.flatten(params)
        states = [me.init_tensor(p) for me, p in zip(self._per_leaf(params, len(leaves)), leaves, strict=False)]
        if not states:
            states = [self.init_tensor(torch.zeros(()))]
            return type(states[0])(*(slot if slot == () else params for slot in states[0])) if states[0] != () else ()
        if "t" in getattr(states[0], "_fields", ()):
            shared: dict[torch.device, Tensor] = {}
            states = [s._replace(t=shared.setdefault(s.t.device, s.t)) for s in states]
        return _transpose(states, spec, itertools.repeat(()))

    def update_tree(self, state: Any, u: Tree, var: Var) -> Any:
        return self._each(state, u, var, apply=False)[0]

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        return self._each(state, u, var, update=False)[1]

    def step(self, state: Any, var: Var) -> tuple[Any, Var]:
        if self.children():
            return super().step(state, var)
        state, out = self._each(state, var.update, var)
        return state, var.replace(update=out)

    def _each(self, state: Any, u: Tree, var: Var, update: bool = True, apply: bool = True) -> tuple[Any, Tree]:
        """Run the tensor functions on every leaf: the new state and the new direction."""
        us, spec = tree.flatten(u)
        n, kind = len(us), type(state) if hasattr(state, "_fields") else None
        mes = self._per_leaf(u, n)
        scalars, rows = itertools.repeat(None, n), itertools.repeat((), n)
        if kind is not None:
            columns = [[()] * n if _is_absent(slot) else spec.flatten_up_to(slot) for slot in state]
            if "t" in kind._fields:
                i = kind._fields.index("t")
                columns[i], scalars = _count(mes, columns[i], update)
            rows = map(kind, *columns)
        params = spec.flatten_up_to(var.params)
        grads = spec.flatten_up_to(var.grad) if "grad" in self.needs else itertools.repeat(None, n)
        loss = var.loss if "value" in self.needs else None
        states, outs = [], []
        for me, row, x, p, g, c in zip(mes, rows, us, params, grads, scalars, strict=False):
            at = At(p, g, loss, c)
            if update and kind is not None:
                row = _kept(me.update_tensor(row, x, at), row)
                states.append(row)
            if apply:
                out = me.apply_tensor(row, x, at)
                outs.append(out if out.dtype == x.dtype else out.to(x.dtype))
        return _transpose(states, spec, state) if states else state, tree.unflatten(spec, outs) if apply else u

    def _per_leaf(self, u: Tree, n: int) -> Any:
        """This module for every leaf, its prefix-tree hyperparameters resolved to scalars."""
        prefixed = {k: v for k, v in self.hypers().items() if v is not None and not is_scalar(v)}
        if not prefixed:
            return [self] * n
        columns = [tree.spread(v, u) for v in prefixed.values()]
        out: list[TensorwiseTransform] = []
        last: tuple[Any, ...] | None = None
        for values in zip(*columns, strict=True):
            if last is not None and all(map(_same_value, last, values)):
                out.append(out[-1])
            else:
                out.append(self.evolve(**dict(zip(prefixed, values, strict=True))))
            last = values
        return out


def _same_value(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, int | float) and isinstance(b, int | float) and a == b)


def _is_absent(slot: Any) -> bool:
    return isinstance(slot, tuple) and slot == ()


def _count(mes: Any, ts: list[Tensor], advance: bool) -> tuple[list[Tensor], list[Any]]:
    """The counts after this update, and what depends on them alone: once for neighbours that march together."""
    me0, old, new, scalars = None, None, None, None
    counts, columns = [], []
    for me, t in zip(mes, ts, strict=False):
        # `is`, not id(): that would guard compiled code on an address
        if me is not me0 or t is not old:
            me0, old, new = me, t, t + 1 if advance else t
            scalars = _computed(me.scalars(new.to(torch.float64)))
        counts.append(new)
        columns.append(scalars)
    return counts, columns


def _computed(scalars: Any) -> Any:
    """The same; while compiling, side by side in one tensor: else a kernel computes them anew for every element."""
    if not torch.compiler.is_compiling():
        return scalars
    values, spec = tree.flatten(scalars)
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.ndim == 0 and x.dtype == torch.float64]
    if len(places) > 1:
        for i, x in zip(places, torch.stack([values[i] for i in places]).unbind(), strict=True):
            values[i] = x
    return tree.unflatten(spec, values)


def _kept(new: Any, old: Any) -> Any:
    """A tensor's new state in the dtypes of the old one."""
    for a, b in zip(new, old, strict=True):
        if not (a.dtype == b.dtype if isinstance(a, Tensor) else a == ()):
            return type(old)(*(_keep(x, y) for x, y in zip(new, old, strict=True)))
    return new


def _keep(new: Any, old: Any) -> Any:
    if isinstance(new, Tensor):
        return new if new.dtype == old.dtype else new.to(old.dtype)
    return tree.cast_like(new, old) if new != () else new


def _transpose(states: list[Any], spec: tree.Spec, absent: Iterable[Any]) -> Any:
    """A list of NamedTuples as a NamedTuple of trees; a slot that is () everywhere is that of `absent`."""
    if states[0] == ():
        return ()
    columns = zip(zip(*states, strict=True), absent, strict=False)
    return type(states[0])(*(a if all(map(_is_absent, c)) else tree.unflatten(spec, c) for c, a in columns))
