"""Wrap: any optimizer class of torch's kind as a pure module."""

import collections
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import optree
import torch
from torch import Tensor
from torch.optim import Optimizer

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.module import Module
from torchzero.core.registration import register_node
from torchzero.core.schedule import Schedule
from torchzero.core.tree import Tree
from torchzero.core.var import Var

# what torch's schedulers write into groups for themselves
_BOOKKEEPING = {
    "initial_lr", "max_lr", "min_lr", "base_lr", "swa_lr", "initial_momentum", "max_momentum", "min_momentum",
    "base_momentum",
}  # fmt: skip
_DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Kept:
    """A foreign container of tensors, numbers and constants as a node whose leaves are all tensors.

    Numbers are 0-d tensors while they are kept, and come back as the numbers they were.
    """

    __slots__ = ("aux", "tensors")

    def __init__(self, tensors: tuple[Tensor, ...], aux: Any) -> None:
        self.tensors, self.aux = tensors, aux  # aux: structure, paths, and for each leaf its kind or constant

    @classmethod
    def of(cls, container: Any) -> "Kept":
        """Pack, detached from the container's graph but not copied."""
        paths, values, spec = optree.tree_flatten_with_path(container, none_is_leaf=True)
        tensors: list[Tensor] = []
        kinds: list[Any] = []
        names: list[str] = []
        for path, value in zip(paths, values, strict=True):
            kind = Tensor if isinstance(value, Tensor) else type(value)
            if kind is Tensor or kind in _DTYPES:
                tensors.append(value.detach() if kind is Tensor else torch.tensor(value, dtype=_DTYPES[kind]))
                names.append(".".join(map(str, path)))
                kinds.append(kind)
            else:
                kinds.append(("constant", value))
        return cls(tuple(tensors), (spec, tuple(names), tuple(kinds)))

    def unpack(self) -> Any:
        """A new container with copies of the tensors."""
        spec, _, kinds = self.aux
        tensors = iter(self.tensors)
        values: list[Any] = []
        for kind in kinds:
            if isinstance(kind, tuple):
                values.append(kind[1])
            else:
                tensor = next(tensors)
                values.append(tensor.detach().clone() if kind is Tensor else kind(tensor.item()))
        return optree.tree_unflatten(spec, values)

    def zeros(self) -> "Kept":
        """The same structure, all zero."""
        return Kept(tuple(map(torch.zeros_like, self.tensors)), self.aux)

    def differs(self, other: "Kept") -> bool:
        """Whether structure, shapes, dtypes or constants are not those of `other`."""
        return self.aux != other.aux or self.describe() != other.describe()

    def describe(self) -> dict[str, str]:
        """Path, dtype and shape of every tensor."""
        return {n: f"{x.dtype}{list(x.shape)}" for n, x in zip(self.aux[1], self.tensors, strict=True)}

    def __repr__(self) -> str:
        return f"Kept({dict(zip(self.aux[1], self.tensors, strict=True))})"


register_node(
    Kept,
    lambda node: (node.tensors, node.aux),
    lambda aux, tensors: Kept(tuple(tensors), aux),
    lambda node: node.aux[1],
)


class Buffers(NamedTuple):
    """State of one parameter."""

    started: Tensor  # ()     whether this parameter was ever updated; until then its buffers are not yet made
    place: Tensor  # ()       its position among the parameters of a wrapped instance, else -1
    kept: Kept  # what the wrapped optimizer keeps for the parameter


class WrapState(NamedTuple):
    """State of Wrap."""

    started: Tensor  # ()      whether any update was made
    shared: tuple[Kept, ...]  # what the wrapped optimizer keeps for all: in each group, by name, as attributes
    buffers: Tree  # Buffers for each parameter
    direction: Tree  # like params  the parameters' change in the last update, before minus after


class Wrap(Module):
    r"""Any `torch.optim.Optimizer` as a module, here called the inner optimizer.

    $$ d = θ - \mathrm{step}(θ, ∇ = u) $$

    Every update makes a fresh inner optimizer on copies of the parameters, loads its buffers from the state, steps it
    with u in place of the gradient, and keeps the buffers and the difference. So nothing is hidden: the state can be
    saved, copied and resumed as any other, and parameters are never touched.

    The inner learning rate is the inner optimizer's own: a group's or scheduler's `lr` goes to LR, so give the inner
    one lr=1 and add LR, or let its lr be and leave LR away. Given a class, all parameters share its arguments. Given
    an instance, its own `param_groups` are read at every update, so per-layer options and schedulers made for the
    instance act; the instance itself is never stepped, and what buffers it has are not taken over. Its parameters
    correspond to the module's by storage, or else by position.

    It runs the foreign code as it is, on the host: it can be neither vmapped, differentiated nor compiled.

    Args:
        opt_fn: an optimizer class, a function params -> optimizer, or an optimizer.
        args: further arguments of the class.
        use_param_groups: follow the groups of an instance as they change; otherwise they are read once, now.
        kwargs: further arguments of the class.

    Raises:
        TypeError: for an optimizer whose step needs a closure, one that steps another optimizer, and for schedules
            among the arguments.
        ValueError: when the parameters do not correspond to those of an instance.
        RuntimeError: under vmap or grad, and when the inner optimizer cannot make a step by gradient alone, or its
            buffers change shape.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.Wrap(torch.optim.SGD, lr=1.0, momentum=0.5), tz.m.LR(0.1))
    >>> params = torch.tensor([1.0])
    >>> state = opt.init(params)
    >>> for _ in range(2):
    ...     params, state = opt(params, state, grad=torch.tensor([2.0]))
    >>> params  # 1 - 0.1·2 - 0.1·(2 + 0.5·2)
    tensor([0.5000])

    Reference: the interface is torch.optim.Optimizer, https://docs.pytorch.org/docs/stable/optim.html
    """

    locality = "global"
    needs = frozenset({"params"})
    host_side = True

    opt_fn: Any = static()
    args: tuple[Any, ...] = static(())
    use_param_groups: bool = static(True)
    kwargs: tuple[tuple[str, Any], ...] = static(())

    def __init__(
        self,
        opt_fn: Callable[..., Optimizer] | Optimizer,
        *args: Any,
        use_param_groups: bool = True,
        **kwargs: Any,
    ) -> None:
        self._write("opt_fn", opt_fn)
        self._write("args", args)
        self._write("use_param_groups", use_param_groups)
        self._write("kwargs", tuple(kwargs.items()))
        if not isinstance(opt_fn, Optimizer) and not callable(opt_fn):
            raise TypeError(
                f"Wrap(opt_fn={opt_fn!r}): must be an optimizer class, a function params -> optimizer, or an optimizer"
            )
        if isinstance(opt_fn, Optimizer) and (args or kwargs):
            raise TypeError(
                f"Wrap({self.name}): an optimizer that is already made takes no further arguments, got "
                f"{', '.join([*map(repr, args), *kwargs])}; change its param_groups, or give the class"
            )
        for name, value in [*((str(i), a) for i, a in enumerate(args)), *kwargs.items()]:
            if isinstance(value, Schedule):
                raise TypeError(
                    f"Wrap({self.name}, {name}={value!r}): the arguments of a foreign optimizer cannot be schedules; "
                    "schedule LR, or give an optimizer that has a torch scheduler of its own"
                )
        if isinstance(opt_fn, Optimizer):
            self._check(opt_fn)
            if not use_param_groups:
                self._write("opt_fn", _replica(opt_fn, [dict(group) for group in opt_fn.param_groups]))
        elif isinstance(opt_fn, type) and issubclass(opt_fn, Optimizer):
            self._refuse_closures(opt_fn)

    @property
    def name(self) -> str:
        """The name of the wrapped class."""
        kind = type(self.opt_fn) if isinstance(self.opt_fn, Optimizer) else self.opt_fn
        return getattr(kind, "__name__", repr(kind))

    def _refuse_closures(self, cls: type[Optimizer]) -> None:
        parameters = list(inspect.signature(cls.step).parameters.values())[1:]
        if any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
            raise TypeError(
                f"Wrap({cls.__name__}): {cls.__name__}.step needs a closure, and Wrap has one direction to give; "
                "use WrapClosure (planned), or a module of tz.m"
            )

    def _check(self, inner: Any) -> None:
        if not isinstance(inner, Optimizer):
            raise TypeError(f"Wrap({self.name}): must make a torch.optim.Optimizer, got {type(inner).__name__}")
        self._refuse_closures(type(inner))
        others = [k for k, v in vars(inner).items() if isinstance(v, Optimizer)]
        if others:
            raise TypeError(
                f"Wrap({self.name}): steps another optimizer, its {others[0]}, whose state cannot be reached; "
                "wrap that one, and use the module of tz.m for what is around it"
            )

    # ------------------------------------------------------------------ the inner optimizer

    def _make(self, params: list[Tensor], places: Sequence[int]) -> Optimizer:
        """A fresh inner optimizer on `params`."""
        if not isinstance(self.opt_fn, Optimizer):
            inner = self.opt_fn(params, *self.args, **dict(self.kwargs))
            self._check(inner)
            return inner
        at = dict(zip(places, params, strict=True))
        groups, i = [], 0
        for group in self.opt_fn.param_groups:
            mine = range(i, i + len(group["params"]))
            groups.append({**group, "params": [at[k] for k in mine if k in at]})
            i += len(group["params"])
        return _replica(self.opt_fn, groups)

    def _advance(self, inner: Optimizer, params: Iterable[Tensor], grads: Iterable[Tensor]) -> None:
        for p, g in zip(params, grads, strict=True):
            p.grad = g.detach().clone(memory_format=torch.preserve_format)
        try:
            inner.step()
        except Exception as error:
            raise RuntimeError(
                f"Wrap({self.name}): {self.name}.step() failed: {error}; Wrap gives it parameters and gradients, and "
                "no closure: for what evaluates the objective use WrapClosure (planned), or a module of tz.m"
            ) from error

    def _places(self, leaves: list[Tensor]) -> list[int]:
        """Where each parameter stands in the instance; -1 without one."""
        if not isinstance(self.opt_fn, Optimizer):
            return [-1] * len(leaves)
        theirs = [p for group in self.opt_fn.param_groups for p in group["params"]]
        by_storage = {_storage(p): i for i, p in enumerate(theirs)}
        found = [by_storage.get(_storage(p), -1) for p in leaves]
        if -1 not in found:
            return found
        if [p.shape for p in leaves] != [p.shape for p in theirs]:
            raise ValueError(
                f"Wrap({self.name}): its parameters have shapes {[tuple(p.shape) for p in theirs]}, and the module's "
                f"{[tuple(p.shape) for p in leaves]}; make it on the same parameters, in the same order"
            )
        return list(range(len(leaves)))

    def _shared(self, inner: Optimizer, keys: Sequence[Iterable[str]]) -> tuple[Kept, ...]:
        """The wanted keys of every container."""
        pairs = zip(_containers(inner), keys, strict=True)
        return tuple(Kept.of({k: container[k] for k in wanted if k in container}) for container, wanted in pairs)

    def _same(self, new: Kept, old: Kept, where: str) -> Kept:
        """`new`, in the structure that the state has for life."""
        if new.differs(old):
            raise RuntimeError(
                f"Wrap({self.name}): what it keeps for {where} has changed, from {old.describe()} to {new.describe()}; "
                "a state must keep its shape, so this optimizer cannot be wrapped"
            )
        return Kept(new.tensors, old.aux)

    def _refuse_transforms(self, tensors: Iterable[Tensor]) -> None:
        for x in tensors:
            graph = torch.is_grad_enabled() and x.grad_fn is not None
            if graph or torch._C._functorch.is_functorch_wrapped_tensor(x):  # pyright: ignore[reportAttributeAccessIssue]
                raise RuntimeError(
                    f"Wrap({self.name}): runs the optimizer's own in-place code, which can be neither vmapped nor "
                    "differentiated; use a module of tz.m, or detach parameters and gradients"
                )

    # ------------------------------------------------------------------ the triple

    def init(self, params: Tree) -> WrapState:
        leaves, spec = tree.flatten(params)
        self._refuse_transforms(leaves)
        places, copies = self._places(leaves), [_leaf(x) for x in leaves]
        rows: list[Buffers] = []
        shared: tuple[Kept, ...] = ()
        never = torch.zeros((), dtype=torch.bool, device=tree.reference(params).device)
        if leaves:
            # three dry steps on copies tell which buffers there are once it has run for a while
            inner = self._make(copies, places)
            before = [_snapshot(x) for x in _containers(inner)]
            with torch.random.fork_rng(devices=[]):
                for value in (0.0, 1.0, 1.0):
                    self._advance(inner, copies, [torch.full_like(x, value) for x in leaves])
            settings = {*inspect.signature(type(inner).__init__).parameters, *_BOOKKEEPING}
            groups = len(inner.param_groups)
            keys = [
                [k for k, v in new.items() if k not in old or _unlike(v, old[k]) or (i < groups and k not in settings)]
                for i, (new, old) in enumerate(zip(map(_snapshot, _containers(inner)), before, strict=True))
            ]
            shared = tuple(kept.zeros() for kept in self._shared(inner, keys))
            rows = [
                Buffers(never, torch.tensor(place), Kept.of(dict(inner.state[p])).zeros())
                for p, place in zip(copies, places, strict=True)
            ]
        return WrapState(never, shared, tree.unflatten(spec, rows), tree.zeros_like(params))

    def update(self, state: WrapState, var: Var) -> WrapState:
        us, spec = tree.flatten(var.update)
        if not us:
            return state
        xs: list[Any] = spec.flatten_up_to(var.params)
        rows: list[Any] = spec.flatten_up_to(state.buffers)
        self._refuse_transforms([*us, *xs])
        copies = [_leaf(x) for x in xs]
        inner = self._make(copies, [int(row.place) for row in rows])
        if bool(state.started):
            for container, kept in zip(_containers(inner), state.shared, strict=True):
                container.update(kept.unpack())
        for p, row in zip(copies, rows, strict=True):
            if bool(row.started):
                inner.state[p] = row.kept.unpack()
        self._advance(inner, copies, [tree.cast(u, x) for u, x in zip(us, xs, strict=True)])
        if "step" in vars(self.opt_fn):  # a scheduler watches whether its optimizer steps before it does
            self.opt_fn._opt_called = True

        found = self._shared(inner, [kept.unpack() for kept in state.shared])
        shared = tuple(self._same(new, old, "all parameters") for new, old in zip(found, state.shared, strict=True))
        yes = torch.ones_like(state.started)
        made = []
        for p, row in zip(copies, rows, strict=True):
            kept = self._same(Kept.of(dict(inner.state[p])), row.kept, f"a parameter of shape {tuple(p.shape)}")
            made.append(Buffers(yes, row.place, kept))
        direction = [x.detach() - p.detach() for x, p in zip(xs, copies, strict=True)]
        return WrapState(yes, shared, tree.unflatten(spec, made), tree.unflatten(spec, direction))

    def apply(self, state: WrapState, var: Var) -> Var:
        return var.replace(update=tree.cast_like(state.direction, var.update))

    def __repr__(self) -> str:
        if isinstance(self.opt_fn, Optimizer):
            return f"Wrap({self.name} instance)"
        return f"Wrap({', '.join([self.name, *map(repr, self.args), *(f'{k}={v!r}' for k, v in self.kwargs)])})"


def _leaf(x: Tensor) -> Tensor:
    return torch.nn.Parameter(x.detach().clone(memory_format=torch.preserve_format))


def _storage(x: Tensor) -> tuple[Any, ...]:
    return (x.device, x.data_ptr(), x.shape, x.stride()) if x.numel() else (id(x),)


def _containers(inner: Optimizer) -> list[dict[Any, Any]]:
    """Where an optimizer may keep things for all parameters: its groups, named entries of `state`, its attributes."""
    return [*inner.param_groups, inner.state, vars(inner)]


def _snapshot(container: dict[str, Any]) -> dict[str, Any]:
    """The numbers and tensors in a container, safe from later changes."""
    return {
        k: v.detach().clone() if isinstance(v, Tensor) else v
        for k, v in container.items()
        if isinstance(v, bool | int | float | Tensor)
    }


def _unlike(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return not torch.equal(a, b)
    return type(a) is not type(b) or a != b


def _replica(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Optimizer:
    """A shallow copy with other groups and no buffers; what a scheduler put on the instance stays behind."""
    new = object.__new__(type(optimizer))
    new.__dict__.update({k: v for k, v in vars(optimizer).items() if k != "step"})
    new.state = collections.defaultdict(dict)
    new.param_groups = groups
    return new
