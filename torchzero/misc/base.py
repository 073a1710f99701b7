"""What the modules of this family share: children, filters, parts of the parameters, grafting, remembering."""

import fnmatch
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import optree
import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core import var as var_
from torchzero.core.control import concrete, cond
from torchzero.core.hyper import Hyper, children, positive, static
from torchzero.core.metrics import check_ord, metric, tree_metric
from torchzero.core.module import Locality, Module
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.transform import At, TensorwiseTransform, Transform
from torchzero.core.tree import Spec, Tree
from torchzero.core.var import Var, apply_update

Flag: TypeAlias = Tensor | bool

# ---------------------------------------------------------------------- flags and children


def either(a: Flag, b: Flag) -> Flag:
    """Whether one of two flags is set."""
    if isinstance(a, bool):
        return True if a else b
    if isinstance(b, bool):
        return True if b else a
    return torch.logical_or(a, b)


def both(a: Flag, b: Flag) -> Flag:
    """Whether both flags are set."""
    if isinstance(a, bool):
        return b if a else False
    if isinstance(b, bool):
        return a if b else False
    return torch.logical_and(a, b)


def as_bool(flag: Flag, like: Tree) -> Tensor:
    """A flag as a 0-d bool tensor on the device of `like`."""
    return torch.as_tensor(flag, dtype=torch.bool, device=tree.reference(like).device)


def publish(var: Var, outs: Iterable[Var]) -> Var:
    """`var` with what its children published: attributes, wishes to skip and to end; a stop is for themselves."""
    attrs, skip, terminate = dict(var.attrs), var.skip_update, var.should_terminate
    for out in outs:
        attrs.update({k: v for k, v in out.attrs.items() if k not in var.attrs or v is not var.attrs[k]})
        skip, terminate = either(skip, out.skip_update), either(terminate, out.should_terminate)
    return var.replace(attrs=attrs, skip_update=skip, should_terminate=terminate)


class ChildrenState(NamedTuple):
    """State of a module that has nothing but children."""

    children: dict[str, Any]  # state of each child, by its name in children()


class Parent(Module):
    """A module that runs its children by itself and keeps their states in a slot called `children`."""

    def init_children(self, params: Tree) -> dict[str, Any]:
        """The state of every child."""
        return {name: module.init(params) for name, module in self.children().items()}

    def child_state(self, state: Any, name: str) -> Any:
        return state.children[name]

    def reset_for_online(self, state: Any) -> Any:
        kids = self.children()
        return state._replace(children={k: m.reset_for_online(state.children[k]) for k, m in kids.items()})


def keep(state: Any, var: Var) -> Any:
    """The state as it is: what a child that is not run does."""
    return state


class ChoiceState(NamedTuple):
    """State of a module that runs one of its children at a time."""

    t: Tensor  # ()  updates absorbed
    children: dict[str, Any]  # state of each child, by its name in children()


def durations(owner: str, steps: Any, n: int) -> tuple[int, ...]:
    """`n` durations from a number or a sequence of numbers."""
    values = (steps,) * n if isinstance(steps, int) else tuple(steps)
    for value in values:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{owner}(steps={steps!r}): every duration must be a whole number of at least 1")
    if len(values) != n:
        raise ValueError(f"{owner}(steps={steps!r}): {len(values)} durations were given and {n} are needed")
    return values


class Choice(Parent):
    """Run one child at each step, chosen by the count of updates; the others' states stay as they are."""

    links: tuple[Any, ...] = children()
    steps: Any = static(default=1)

    def index(self, k: Tensor) -> Tensor:
        """Which child runs after `k` updates: 0-d integer."""
        raise TypeError(f"{type(self).__name__} must implement index(k)")

    def _chosen(self, index: Tensor) -> int | None:
        flags = [concrete(index == i) for i in range(len(self.links))]
        return None if None in flags else flags.index(True)

    def init(self, params: Tree) -> ChoiceState:
        return ChoiceState(tree.counter(params), self.init_children(params))

    def update(self, state: ChoiceState, var: Var) -> ChoiceState:
        index, states = self.index(state.t), {}
        for i, (name, module) in enumerate(self.children().items()):
            states[name] = cond(index == i, module.update, keep, state.children[name], var)
        return ChoiceState(state.t + 1, states)

    def apply(self, state: ChoiceState, var: Var) -> Var:
        index, kids = self.index((state.t - 1).clamp_min(0)), self.children()
        outs = [functools.partial(kids[name].apply, state.children[name], var) for name in kids]
        chosen = self._chosen(index)
        out = outs[-1 if chosen is None else chosen]()
        if chosen is None:
            for i, make in enumerate(outs[:-1]):
                out = var_.where(index == i, make(), out)
        return out.replace(stop=var.stop)

    def step(self, state: ChoiceState, var: Var) -> tuple[ChoiceState, Var]:
        chosen = self._chosen(self.index(state.t))
        if chosen is None:
            return super().step(state, var)
        name = list(self.children())[chosen]
        own, out = self.children()[name].step(state.children[name], var)
        return ChoiceState(state.t + 1, {**state.children, name: own}), out.replace(stop=var.stop)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.links))}, steps={self.steps!r})"


class InnerStepsState(NamedTuple):
    """State of a module whose children take steps of their own."""

    d: Tree  # like params  x0 minus the point that the inner steps reached
    terminate: Tensor  # ()  bool: whether a child wished to end the work
    children: dict[str, Any]  # state of each child, by its name in children()


class InnerSteps(Parent):
    """Let children take several real steps from x0; the direction leads to where they ended."""

    needs = frozenset({"objective"})

    def plan(self) -> list[str]:
        """The names of the children, in the order in which they step."""
        raise TypeError(f"{type(self).__name__} must implement plan()")

    def init(self, params: Tree) -> InnerStepsState:
        no = as_bool(False, params)
        return InnerStepsState(tree.zeros_like(params), no, self.init_children(params))

    def update(self, state: InnerStepsState, var: Var) -> InnerStepsState:
        states, kids, terminate = dict(state.children), self.children(), False
        at, point = var.replace(skip_update=False, stop=False), var.params
        known: dict[str, Any] = {}
        for i, name in enumerate(self.plan()):
            if i:
                at = at.replace(params=point, objective=var.need_objective(self), update=None, **known)
            states[name], out = kids[name].step(states[name], at)
            point, terminate, known = apply_update(out), either(terminate, out.should_terminate), {}
            if out.accepted is not None and out.skip_update is False:
                known = dict(zip(("loss", "grad"), out.accepted, strict=True))
        return InnerStepsState(tree.sub(var.params, point), as_bool(terminate, point), states)

    def apply(self, state: InnerStepsState, var: Var) -> Var:
        return var.replace(update=state.d, should_terminate=either(var.should_terminate, state.terminate))


# ---------------------------------------------------------------------- filters


class OnPath:
    """A pattern for the dotted path, as in a shell: `*` stands for anything."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.match = re.compile(fnmatch.translate(pattern)).match

    def __call__(self, path: str, leaf: Tensor) -> bool:
        return self.match(path) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnPath) and other.pattern == self.pattern

    def __hash__(self) -> int:
        return hash((OnPath, self.pattern))

    def __repr__(self) -> str:
        return repr(self.pattern)


class OnLeaf:
    """A function of the tensor alone."""

    def __init__(self, fn: Callable[[Tensor], Any]) -> None:
        self.fn = fn

    def __call__(self, path: str, leaf: Tensor) -> bool:
        return self.fn(leaf)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnLeaf) and other.fn == self.fn

    def __hash__(self) -> int:
        return hash((OnLeaf, self.fn))

    def __repr__(self) -> str:
        return repr(self.fn)


# (path, leaf) -> bool | leaf -> bool | pattern for the path | prefix tree of bools
Filter: TypeAlias = Callable[..., Any] | str | bool | Mapping[str, Any] | Sequence[Any]


def _positional(fn: Callable[..., Any]) -> int:
    """How many positional arguments `fn` must have; 1 if it does not say."""
    try:
        params = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(p.kind is p.VAR_POSITIONAL for p in params):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in params)


def _is_prefix(value: Any) -> bool:
    if isinstance(value, bool):
        return True
    if isinstance(value, Mapping):
        return all(map(_is_prefix, value.values()))
    return isinstance(value, tuple | list) and all(map(_is_prefix, value))


def as_filter(value: Any, owner: str, name: str) -> Any:
    """Check a filter and put it in the form that `masks` takes."""
    if isinstance(value, OnPath | OnLeaf) or _is_prefix(value):
        return value
    if isinstance(value, str):
        return OnPath(value)
    if callable(value) and not isinstance(value, torch.nn.Module | Module | type):
        return value if _positional(value) >= 2 else OnLeaf(value)
    raise TypeError(
        f"{owner}({name}={value!r}): must be a function of (path, tensor) or of the tensor, a pattern for the path "
        f"such as 'encoder.*', or a tree of bools; got {type(value).__name__}. Tensors and nn.Modules are no filters, "
        "because parameters change identity in a functional step: select them by name"
    )


def masks(filters: Sequence[Any], params: Tree, owner: str) -> list[list[bool]]:
    """For every filter and every leaf of `params`, whether it holds: from paths, shapes and dtypes alone."""
    leaves = tree.leaves(params)
    named = any(not isinstance(f, OnLeaf | bool | Mapping | tuple | list) for f in filters)
    paths = tree.paths(params) if named else [""] * len(leaves)  # which take longer than everything else
    out = []
    for wanted in filters:
        if isinstance(wanted, bool | Mapping | tuple | list):
            out.append(_spread(wanted, params, owner, ""))
            continue
        holds = [wanted(path, leaf) for path, leaf in zip(paths, leaves, strict=True)]
        for i, held in enumerate(holds):
            if isinstance(held, Tensor):
                raise TypeError(
                    f"{owner}: the filter returned a tensor for {tree.paths(params)[i] or 'the only parameter'!r}; who "
                    "is whose is decided by names and shapes, so return a bool that does not depend on the values"
                )
        out.append([bool(held) for held in holds])
    return out


def _spread(prefix: Any, params: Tree, owner: str, path: str) -> list[bool]:
    """A prefix tree of bools at every leaf of `params`."""
    if isinstance(prefix, bool):
        return [prefix] * optree.tree_structure(params).num_leaves
    parts, _, entries, _ = optree.tree_flatten_one_level(params)
    names = [str(e) for e in entries]
    if isinstance(prefix, Mapping):
        given = {str(k): v for k, v in prefix.items()}
    else:
        given = dict(zip(names, prefix, strict=False)) if len(prefix) == len(names) else {}
    if set(given) != set(names):
        raise ValueError(
            f"{owner}: the tree of bools does not fit the parameters at {path or 'the top'!r}: it has "
            f"{', '.join(map(str, prefix)) if isinstance(prefix, Mapping) else f'{len(prefix)} entries'}, "
            f"they have {', '.join(names)}"
        )
    return [b for n, part in zip(names, parts, strict=True) for b in _spread(given[n], part, owner, f"{path}.{n}")]


# ---------------------------------------------------------------------- parts of the parameters


class Part:
    """Some of the leaves of a tree: the way there, and back.

    Args:
        params: the whole tree.
        mine: for every leaf, whether it belongs to the part.
        spec: the structure of the whole tree, if it is known.
    """

    def __init__(self, params: Tree, mine: Sequence[bool], spec: Spec | None = None) -> None:
        self.mine = list(mine)
        self.others = [not m for m in mine]
        self.spec: Spec = tree.flatten(params)[1] if spec is None else spec

    def select(self, values: Tree) -> Tree:
        """`values` with holes at the leaves of others."""
        return tree.select(values, self.mine, self.spec)

    def join(self, values: Tree, rest: Tree) -> Tree:
        """A whole tree: `values` at the leaves of the part, `rest` at the others."""
        return tree.merge(self.spec, [self.mine, self.others], [values, rest])


class PartFunction(FunctionObjective):
    """A function of a part of the parameters, the others fixed at x0."""

    def __init__(self, var: Var, part: Part, here: Tree) -> None:
        fn = var.objective.fn  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
        super().__init__(lambda values: fn(part.join(values, var.params)))
        self.var, self.part, self.here = var, part, here

    def value(self, params: Tree) -> Tensor:
        return self.var.loss if params is self.here else super().value(params)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        if params is self.here:  # evaluated once for all parts
            grad = self.var.grad
            return self.var.loss, self.part.select(grad)
        return super().value_and_grad(params)


class PartObjective(Objective):
    """Any other objective of a part of the parameters: evaluated whole, the others fixed at x0."""

    def __init__(self, var: Var, part: Part, here: Tree) -> None:
        self.var, self.part, self.here = var, part, here

    def _whole(self, params: Tree) -> tuple[Objective, Tree]:
        return self.var.need_objective(self), self.part.join(params, self.var.params)

    def value(self, params: Tree) -> Tensor:
        if params is self.here:
            return self.var.loss
        objective, point = self._whole(params)
        return objective.value(point)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        if params is self.here:
            grad = self.var.grad
            return self.var.loss, self.part.select(grad)
        objective, point = self._whole(params)
        loss, grad = objective.value_and_grad(point)
        return loss, self.part.select(grad)

    def residuals(self, params: Tree) -> Tensor:
        objective, point = self._whole(params)
        return objective.residuals(point)

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        objective, point = self._whole(params)
        r, rows = objective.jacobian(point)
        return r, rows.index_select(1, self._elements(point, rows))

    def hvp(self, params: Tree, v: Tree) -> Tree:
        objective, point = self._whole(params)
        return self.part.select(objective.hvp(point, self.part.join(v, tree.zeros_like(self.var.params))))

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        objective, point = self._whole(params)
        grad, product = objective.linearize(point)
        zeros = tree.zeros_like(self.var.params)
        return self.part.select(grad), lambda v: self.part.select(product(self.part.join(v, zeros)))

    def hessian(self, params: Tree) -> Tensor:
        objective, point = self._whole(params)
        full = objective.hessian(point)
        index = self._elements(point, full)
        return full.index_select(0, index).index_select(1, index)

    def _elements(self, whole: Tree, like: Tensor) -> Tensor:
        """The places of the part's elements among all: (n,) int64."""
        at, places = 0, [torch.zeros(0, dtype=torch.int64, device=like.device)]
        for mine, leaf in zip(self.part.mine, tree.leaves(whole), strict=True):
            places += [torch.arange(at, at + leaf.numel(), device=like.device)] if mine else []
            at += leaf.numel()
        return torch.cat(places)


def part_of(var: Var, part: Part) -> Var:
    """What the owner of a part sees: its leaves of parameters, direction and gradient, and the objective of these."""
    here, objective = part.select(var.params), var.objective
    if isinstance(objective, FunctionObjective):
        objective = PartFunction(var, part, here)
    elif objective is not None:
        objective = PartObjective(var, part, here)
    return var.replace(
        params=here,
        objective=objective,
        update=part.select(var.update) if var.has_update else None,
        grad=part.select(var.grad) if var.has_grad else None,
        loss=var.loss if var.has_loss else None,
        stop=False,
        skip_update=False,
    )


class Routed(Module):
    """Hand every leaf to the first of several routes that wants it; each child sees its own leaves only.

    The state is a dict from the name of a route to the state of its child. A child that wishes to skip the step skips
    it for its own leaves: their direction is zero, and the step as a whole is skipped if all leaves agree.
    """

    def routes(self) -> list[tuple[str, Any, Module | None]]:
        """(name, filter, child) in order of precedence; leaves of a route without child stay as they are."""
        raise TypeError(f"{type(self).__name__} must implement routes()")

    def parts(self, params: Tree) -> dict[str, Part]:
        """The part of every route that has a child."""
        routes, spec = self.routes(), tree.flatten(params)[1]
        free, out = [True] * spec.num_leaves, {}
        for (name, _, module), wanted in zip(
            routes, masks([f for _, f, _ in routes], params, type(self).__name__), strict=True
        ):
            if module is not None:
                out[name] = Part(params, [f and w for f, w in zip(free, wanted, strict=True)], spec)
            free = [f and not w for f, w in zip(free, wanted, strict=True)]
        return out

    def runners(self) -> dict[str, Module]:
        """The child of every route that has one."""
        return {name: module for name, _, module in self.routes() if module is not None}

    def init(self, params: Tree) -> dict[str, Any]:
        parts = self.parts(params)
        return {name: module.init(parts[name].select(params)) for name, module in self.runners().items()}

    def _run(self, state: dict[str, Any], var: Var, advance: bool) -> tuple[dict[str, Any], Var]:
        parts, new = self.parts(var.params), dict(state)
        outs: list[tuple[Part, Var]] = []
        for name, module in self.runners().items():
            part = parts[name]
            if not any(part.mine):
                continue
            given = part_of(var, part)
            if advance:
                new[name], out = module.step(state[name], given)
            else:
                out = module.apply(state[name], given)
            outs.append((part, out))
        if not outs:
            return new, var
        owned, updates, skip = [], [], True
        for part, out in outs:
            u = out.update
            owned.append(part.mine)
            updates.append(u if out.skip_update is False else tree.where(out.skip_update, tree.zeros_like(u), u))
            skip = both(skip, out.skip_update)
        left = [not any(column) for column in zip(*owned, strict=True)]
        if any(left):
            owned.append(left)
            updates.append(tree.select(var.update, left, outs[0][0].spec))
            skip = False
        after = publish(var, [out.replace(skip_update=False) for _, out in outs])
        merged = tree.merge(outs[0][0].spec, owned, updates)
        return new, after.replace(update=merged, skip_update=either(var.skip_update, skip))

    def update(self, state: dict[str, Any], var: Var) -> dict[str, Any]:
        return self._run(state, var, advance=True)[0]

    def apply(self, state: dict[str, Any], var: Var) -> Var:
        return self._run(state, var, advance=False)[1]

    def step(self, state: dict[str, Any], var: Var) -> tuple[dict[str, Any], Var]:
        return self._run(state, var, advance=True)

    def eval_params(self, state: dict[str, Any], params: Tree) -> Tree:
        parts = self.parts(params)
        for name, module in self.runners().items():
            part = parts[name]
            params = part.join(module.eval_params(state[name], part.select(params)), params)
        return params

    def reset_for_online(self, state: dict[str, Any]) -> dict[str, Any]:
        return {name: module.reset_for_online(state[name]) for name, module in self.runners().items()}


# ---------------------------------------------------------------------- grafting


def at_least(x: Tensor, low: Any) -> Tensor:
    """max(x, low) for a number or a tensor."""
    return x.clamp_min(low) if isinstance(low, int | float) else torch.maximum(x, low.to(x.dtype))


def graft(direction: Tree, magnitude: Tree, tensorwise: bool, ord: float | str, eps: Any, strength: Any = 1) -> Tree:
    """`direction` with the size of `magnitude`: d (1 + s (‖m‖ / max(‖d‖, ε) - 1)), per tensor or over all of them."""

    def rescale(d: Tensor, of_d: Tensor, of_m: Tensor, eps: Any, strength: Any) -> Tensor:
        ratio = of_m / at_least(of_d, eps)
        whole = isinstance(strength, int | float) and strength == 1
        return tree.cast(d * (ratio if whole else 1 + strength * (ratio - 1)), d)

    if tensorwise:
        of_d, of_m = (tree.map(lambda x: metric(x, ord), t) for t in (direction, magnitude))
        return tree.zipmap(rescale, direction, of_d, of_m, eps, strength)
    of_d, of_m = tree_metric(direction, ord), tree_metric(magnitude, ord)
    return tree.zipmap(lambda d, e, s: rescale(d, of_d, of_m, e, s), direction, eps, strength)


class Grafting(Transform):
    """Give one tree the size of another, both among direction, gradient and parameters."""

    tensorwise: bool = static(default=False)
    ord: float | str = static(default=2)
    eps: Hyper = positive(default=1e-6)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        return "tensor" if self.tensorwise else "global"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord(type(self).__name__, "ord", self.ord)

    def pair(self, u: Tree, var: Var) -> tuple[Tree, Tree]:
        """What gives the direction, and what gives the size."""
        raise TypeError(f"{type(self).__name__} must implement pair(u, var)")

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        return graft(*self.pair(u, var), self.tensorwise, self.ord, self.eps)


# ---------------------------------------------------------------------- averages and memories


def wide(x: Tensor) -> Tensor:
    """`x` in at least single precision, in which a long average can still move."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LastState(NamedTuple):
    """State of one tensor."""

    last: Tensor  # like param  what was seen at the latest update
    before: Tensor  # like param  what was seen at the update before


class Last(TensorwiseTransform):
    """A function of what is seen now and what was seen at the update before.

    A subclass gives `combine(now, before)`, and may say what is looked at and what there was before the first step.
    """

    start = 0.0  # what was there before the first step

    def look(self, u: Tensor, at: At) -> Tensor:
        """What is remembered."""
        return u

    def combine(self, now: Tensor, before: Tensor) -> Tensor:
        """The new direction."""
        raise TypeError(f"{type(self).__name__} must implement combine(now, before)")

    def init_tensor(self, param: Tensor) -> LastState:
        before = torch.full_like(param, self.start)
        return LastState(before, before)

    def update_tensor(self, state: LastState, u: Tensor, at: At) -> LastState:
        return LastState(self.look(u, at), state.last)

    def apply_tensor(self, state: LastState, u: Tensor, at: At) -> Tensor:
        return self.combine(state.last, state.before)
