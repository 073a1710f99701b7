"""Module: the immutable triple (init, update, apply)."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import optree
import torch
from torch import Tensor

from torchzero.core import hyper, random, tree
from torchzero.core.registration import register_dataclass_node
from torchzero.core.schedule import Schedule
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform  # torch depends on it

Locality = Literal["elementwise", "tensor", "global"]
LOCALITIES: tuple[Locality, ...] = ("elementwise", "tensor", "global")


class ScheduledState(NamedTuple):
    """State of a module with schedules among its hyperparameters."""

    k: Tensor  # ()   updates absorbed: the schedules' argument
    own: Any  # the module's own state


_PLAIN = (int, float, Tensor)
# methods that see the values of schedules
_RESOLVED = (
    "init",
    "update",
    "apply",
    "multiplier",
    "step",
    "eval_params",
    "reset_for_online",
    "operator",
    "evaluations",
    "restarts_others",
)


def _is_schedule(x: Any) -> bool:
    return isinstance(x, Schedule)


def _is_whole(x: Any) -> bool:
    """Where the search for this module's own schedules ends: children look after theirs."""
    return isinstance(x, Schedule | Module)


def _demand_tensors(owner: str, params: Tree) -> None:
    if all(isinstance(x, Tensor) for x in tree.leaves(params)):
        return
    paths, leaves, _ = tree.with_paths(params)
    path, bad = next((path, x) for path, x in zip(paths, leaves, strict=True) if not isinstance(x, Tensor))
    where = f"params[{'.'.join(path)!r}]" if path else "params"
    raise TypeError(f"{owner}.init: {where} must be a tensor, got {type(bad).__name__}; give a tree of tensors")


def _resolve_in(method: Callable[..., Any]) -> Callable[..., Any]:
    """Run `method` on the module with its schedules replaced by their values at the current update."""
    name = method.__name__

    @functools.wraps(method)
    def resolved(self: "Module", first: Any, *rest: Any) -> Any:
        if name == "init":
            _demand_tensors(type(self).__name__, first)
            if not self._scheduled:
                return method(self, first, *rest)
            k = tree.counter(first)
            return ScheduledState(k, method(self._at(k), first, *rest))
        if not isinstance(first, ScheduledState):
            if not self._scheduled:
                return method(self, first, *rest)
            raise TypeError(
                f"{self!r}: has a schedule, and its state was made without one and does not count; make the state with "
                "this module's init, and where a schedule may come later begin with tz.schedules.Constant"
            )
        if name in ("update", "step"):
            out = method(self._at(first.k), first.own, *rest)
            own = out if name == "update" else out[0]
            state = ScheduledState(first.k + 1, own)
            return state if name == "update" else (state, out[1])
        out = method(self._at((first.k - 1).clamp_min(0)), first.own, *rest)
        return first._replace(own=out) if name == "reset_for_online" else out

    return resolved


def _dynamic(field: dataclasses.Field[Any], value: Any) -> bool:
    return field.metadata.get("kind") in ("hyper", "child", "children")


@dataclass_transform(frozen_default=True, eq_default=False)
class Module:
    """An optimizer, or a piece of one, as a value.

    A subclass declares its hyperparameters and children as fields and gives three functions:

        init(params)       -> state   a pytree of tensors; structure, shapes and dtypes are fixed for life
        update(state, var) -> state   absorb this step's evidence; may be called several times before apply
        apply(state, var)  -> Var     emit the direction; never changes the state, and may be repeated

    `step` is update then apply. A module is itself a pytree: numeric hyperparameters are its leaves and children its
    nodes, so it can be vmapped over and differentiated with respect to.

    Class attributes:
        locality: how far an output element can see: "elementwise", "tensor" or "global".
        needs: what is looked at besides the direction: any of "params", "grad" and "value" (gradient and loss at x0),
            "objective" (evaluations at other points), "true_gradient", "hvp", "residuals".
        makes_update: whether the direction is made from scratch, without a gradient.
        rewrites_objective: whether later modules see another objective than this one, so that the gradient at x0 is
            not wanted before this module ran.
        conservative: whether the gradient of a function comes out where one goes in, as from weight decay or a constant
            factor, and not from a clip: what models curvature by differences of gradients can only follow such modules.
        host_side: whether it runs foreign code, so that it cannot be vmapped, differentiated or compiled.
        whole: whether the state sees all parameters as one vector, so that none may be missing for a step.

    >>> import torchzero as tz
    >>> opt = tz.m.LR(0.25)
    >>> params, state = opt(torch.tensor([4.0]), opt.init(torch.tensor([4.0])), lambda x: (x**2).sum())
    >>> params
    tensor([2.])
    """

    locality: ClassVar[Locality] = "global"
    needs: ClassVar[frozenset[str]] = frozenset()
    makes_update: ClassVar[bool] = False
    whole: ClassVar[bool] = False
    rewrites_objective: ClassVar[bool] = False
    conservative: ClassVar[bool] = False
    host_side: ClassVar[bool] = False
    _hyper_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, init: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in _RESOLVED:
            if name in cls.__dict__:
                setattr(cls, name, _resolve_in(cls.__dict__[name]))
        # init=False: the constructor is inherited. frozen=True would compile two more methods for each class, which is
        # a third of the time that the library takes to import: __setattr__ and __delattr__ below do for all.
        dataclasses.dataclass(repr=False, eq=False, init=init)(cls)
        fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
        cls._hyper_names = tuple(
            f.name for f in fields if f.metadata.get("kind") == "hyper" or f.metadata.get("operand", False)
        )
        register_dataclass_node(cls, _dynamic)

    def __post_init__(self) -> None:
        self._validate()

    def _validate(self) -> None:
        """Check Python numbers and static values, and turn sequences of modules into chains."""
        from torchzero.core.chain import as_child

        owner = type(self).__name__
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value, meta = getattr(self, field.name), field.metadata
            self.__dict__.setdefault(field.name, value)  # a default that the constructor left to the class
            kind = meta.get("kind")
            if kind == "hyper":
                hyper.check_hyper(owner, field.name, value, meta["range"], meta["optional"])
            elif kind == "static" or kind is None:
                hyper.check_static(owner, field.name, value, meta)
                if isinstance(value, list):
                    self._write(field.name, tuple(value))
            elif kind == "child" and not (value is None and meta["optional"]):
                self._write(field.name, as_child(value, owner, field.name, meta["operand"]))
            elif kind == "children":
                made = [as_child(v, owner, f"{field.name}[{i}]", meta["operand"]) for i, v in enumerate(value or ())]
                self._write(field.name, tuple(made))

    if not TYPE_CHECKING:  # to a type checker it is the decorator that says so

        def __setattr__(self, name: str, value: Any) -> None:
            """Write a field once, in the constructor."""
            if name in self.__dict__ or all(f.name != name for f in dataclasses.fields(self)):
                raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
            object.__setattr__(self, name, value)

        def __delattr__(self, name: str) -> None:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def _write(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    # ------------------------------------------------------------------ the triple

    def init(self, params: Tree) -> Any:
        """The state before the first step; stateless modules have the empty state `()`."""
        return ()

    def update(self, state: Any, var: Var) -> Any:
        """Absorb this step's evidence."""
        return state

    def apply(self, state: Any, var: Var) -> Var:
        """Emit the direction."""
        return var

    def step(self, state: Any, var: Var) -> tuple[Any, Var]:
        """update, then apply; a class may override it only to save work."""
        state = self.update(state, var)
        return state, self.apply(state, var)

    def __call__(
        self,
        params: Tree,
        state: Any,
        objective: Callable[[Any], Tensor] | None = None,
        /,
        *,
        grad: Tree | None = None,
        loss: Tensor | None = None,
    ) -> tuple[Tree, Any]:
        """One optimization step: (params, state) -> (params, state).

        Args:
            params: the parameters, any tree of tensors.
            state: what `init`, or the step before, returned.
            objective: params -> loss; leave out when `grad` is given and no module evaluates.
            grad: a ready gradient.
            loss: a ready loss.

        Raises:
            ValueError: for the state of another module, or of other parameters, when it breaks the step.
        """
        var = Var(params, objective=objective, grad=grad, loss=loss)
        try:
            state, var = self.step(state, var)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            why = self._misfit(state, params)
            if why is None:
                raise
            raise ValueError(f"{self!r}: {why}; begin with the state that its init(params) returns") from error
        return apply_update(var), state

    def _misfit(self, state: Any, params: Tree) -> str | None:
        """In what `state` is no state of this module for these parameters; None if it is one."""
        wanted, given = (dict(zip(*tree.with_paths(x)[:2], strict=True)) for x in (self.init(params), state))
        for path in [*wanted, *given]:
            at = f"state[{'.'.join(path)!r}]"
            if path not in given:
                return f"{at} is missing"
            if path not in wanted:
                return f"{at} is not of this module"
            x, y = wanted[path], given[path]
            if not isinstance(y, Tensor) or x.shape != y.shape:
                got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
                return f"{at} must have the shape {tuple(x.shape)}, got {got}"
        return None

    # ------------------------------------------------------------------ what else a state can tell

    def eval_params(self, state: Any, params: Tree) -> Tree:
        """The parameters to evaluate the model at: an average where some module keeps one, else `params`."""
        for path, module in self.children().items():
            params = module.eval_params(self.child_state(state, path), params)
        return params

    def reset_for_online(self, state: Any) -> Any:
        """The state without what belongs to the previous evaluation, learned curvature kept."""
        return state

    def restarted(self, state: Any, params: Tree) -> Any:
        """The state before the first step at `params`, in which the random numbers of `state` do not come again."""
        places, fresh, spec = tree.with_paths(self.init(params))
        old = tree.leaves(state)
        for i, (path, x) in enumerate(zip(places, fresh, strict=True)):
            if path and path[-1] == "key" and x.dtype == torch.int64 and x.shape == (2,):
                fresh[i] = random.fold_in(old[i], 1)
        return tree.unflatten(spec, fresh)

    def restarts_others(self, state: Any) -> Tensor | None:
        """Whether the other links of its chain start afresh before the next step: 0-d bool; None if it never asks."""
        return None

    def operator(self, state: Any) -> Any:
        """The curvature that this module has learned, as an operator on the ravelled parameters; None if it has none.

        Raises:
            RuntimeError: when two children have one, so that it is not clear which is meant.
        """
        found = {
            n: op for n, m in self.children().items() if (op := m.operator(self.child_state(state, n))) is not None
        }
        if len(found) > 1:
            raise RuntimeError(
                f"{type(self).__name__}: several children model curvature: {', '.join(found)}; keep one of them here"
            )
        return next(iter(found.values()), None)

    def evaluations(self, state: Any) -> Any:
        """How often the last update evaluated the objective away from x0: a number, or a 0-d tensor."""
        return sum(module.evaluations(self.child_state(state, name)) for name, module in self.children().items())

    def best(self, state: Any) -> tuple[Tree, Tensor] | None:
        """The best point that a search among points has evaluated, and its value; None if nothing here remembers one.

        Before the first, the starting point and inf.
        """
        found = (module.best(self.child_state(state, name)) for name, module in self.children().items())
        return next((best for best in found if best is not None), None)

    def extent(self, state: Any) -> Tensor | None:
        """How far from where it stands a search among points will look next: 0-d; None if nothing here searches so."""
        found = (module.extent(self.child_state(state, name)) for name, module in self.children().items())
        return next((extent for extent in found if extent is not None), None)

    def child_state(self, state: Any, name: str) -> Any:
        """The part of `state` that belongs to the child called `name` in `children()`."""
        raise TypeError(f"{type(self).__name__} must implement child_state(state, name) to have children with states")

    # ------------------------------------------------------------------ structure

    @property
    def _scheduled(self) -> bool:
        # Not cached: functools' lock cannot be traced, and a copy may gain or lose a schedule.
        return any(
            any(_is_schedule(x) for x in optree.tree_leaves(value, is_leaf=_is_whole))
            for value in (getattr(self, name) for name in self._hyper_names)
            if value is not None and not isinstance(value, _PLAIN)
        )

    def _at(self, k: Tensor) -> "Module":
        """This module with every schedule replaced by its value after `k` updates."""
        changes = {
            name: optree.tree_map(lambda x: x(k) if _is_schedule(x) else x, getattr(self, name), is_leaf=_is_whole)
            for name in self._hyper_names
        }
        return self.evolve(**changes)

    def evolve(self, **changes: Any) -> Any:
        """A copy with some fields changed and nothing checked: for values that are known to be good."""
        new = object.__new__(type(self))
        fields = {f.name for f in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]
        new.__dict__.update({k: v for k, v in self.__dict__.items() if k in fields})
        new.__dict__.update(changes)
        return new

    def children(self) -> dict[str, "Module"]:
        """Child modules by field name; those of a tuple are called name[i]."""
        found: dict[str, Module] = {}
        for f in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, f.name)
            if isinstance(value, Module):
                found[f.name] = value
            elif f.metadata.get("kind") == "children":
                found.update({f"{f.name}[{i}]": v for i, v in enumerate(value) if isinstance(v, Module)})
        return found

    def walk(self) -> Iterator["Module"]:
        """This module and everything below it, depth first."""
        yield self
        for module in self.children().values():
            yield from module.walk()

    def hypers(self) -> dict[str, Any]:
        """The numeric hyperparameters by name, children excluded."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        return {f.name: getattr(self, f.name) for f in fields if f.metadata.get("kind") == "hyper"}

    def chain_locality(self) -> Locality:
        """The locality of this module together with its children."""
        reach = max(
            LOCALITIES.index(self.locality),
            *(LOCALITIES.index(c.chain_locality()) for c in self.children().values()),
            0,
        )
        return LOCALITIES[reach]

    # ------------------------------------------------------------------ settings for the shell

    def set_param_groups(self, groups: Any) -> Any:
        """Give `Modular` settings for this module alone: a list of dicts with `params` and hyperparameters.

        They win over the optimizer's own groups and schedulers. Callable before or after the optimizer is built;
        returns the module. A key `lr` is ignored unless the module has one, as only LR does.

        Raises:
            ValueError: for a key that is no hyperparameter of this module.
        """
        groups = [groups] if isinstance(groups, dict) else list(groups)
        known, made = self.hypers(), []
        for group in groups:
            unknown = [k for k in group if k not in known and k not in ("params", "lr")]
            if "params" not in group or unknown:
                raise ValueError(
                    f"{type(self).__name__}.set_param_groups: each group needs 'params' and may set "
                    f"{', '.join(known) or 'nothing'}; got {', '.join(map(repr, group))}"
                )
            values = {k: v for k, v in group.items() if k in known}
            for k, v in values.items():
                meta = next(f.metadata for f in dataclasses.fields(self) if f.name == k)  # pyright: ignore[reportArgumentType]
                hyper.check_hyper(type(self).__name__, k, v, meta["range"], meta["optional"])
            params = group["params"]
            params = [params] if isinstance(params, Tensor) else list(params)
            made.append(([p[1] if isinstance(p, tuple | list) else p for p in params], values))
        self._write("_param_groups", made)
        return self

    set_params = set_param_groups

    def __repr__(self) -> str:
        parts = []
        for f in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, f.name)
            if f.metadata.get("kind") == "children":
                parts += [repr(v) for v in value]
            elif not _is_default(value, f.default) and not (isinstance(value, Tensor) and value.numel() > 1):
                shown = f"{value.item():g}" if isinstance(value, Tensor) and not _wrapped(value) else repr(value)
                parts.append(f"{f.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"


for _name in _RESOLVED:  # a module may inherit them and have schedules
    if hasattr(Module, _name):
        setattr(Module, _name, _resolve_in(getattr(Module, _name)))


def _is_default(value: Any, default: Any) -> bool:
    """Also after unpickling, when equal numbers are other objects."""
    plain = isinstance(value, int | float | str) and type(value) is type(default)
    return value is default or (plain and value == default)


def _wrapped(x: Tensor) -> bool:
    return torch._C._functorch.is_functorch_wrapped_tensor(x)  # pyright: ignore[reportAttributeAccessIssue]
