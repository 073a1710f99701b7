"""What wrappers of foreign optimizers share: making one for a step, and keeping what it keeps."""

import collections
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optree
import torch
from torch import Tensor
from torch.optim import Optimizer

from torchzero.core.hyper import static
from torchzero.core.module import Module
from torchzero.core.registration import register_node
from torchzero.core.schedule import Schedule

# what torch's schedulers write into groups for themselves
BOOKKEEPING = {
    "initial_lr", "max_lr", "min_lr", "base_lr", "swa_lr", "initial_momentum", "max_momentum", "min_momentum",
    "base_momentum",
}  # fmt: skip
DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}


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
            if kind is Tensor or kind in DTYPES:
                tensors.append(value.detach() if kind is Tensor else torch.tensor(value, dtype=DTYPES[kind]))
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


class Foreign(Module):
    """A module that makes a foreign optimizer, the inner one, for every step.

    Give `admit(cls)`, which refuses classes that this wrapper cannot serve.
    """

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
                f"{type(self).__name__}(opt_fn={opt_fn!r}): must be an optimizer class, a function params -> "
                "optimizer, or an optimizer"
            )
        if isinstance(opt_fn, Optimizer) and (args or kwargs):
            raise TypeError(
                f"{self._who}: an optimizer that is already made takes no further arguments, got "
                f"{', '.join([*map(repr, args), *kwargs])}; change its param_groups, or give the class"
            )
        for name, value in [*((str(i), a) for i, a in enumerate(args)), *kwargs.items()]:
            if isinstance(value, Schedule):
                raise TypeError(
                    f"{type(self).__name__}({self.name}, {name}={value!r}): the arguments of a foreign optimizer "
                    "cannot be schedules; schedule LR, or give an optimizer that has a torch scheduler of its own"
                )
        if isinstance(opt_fn, Optimizer):
            self._check(opt_fn)
            if not use_param_groups:
                self._write("opt_fn", replica(opt_fn, [dict(group) for group in opt_fn.param_groups]))
        elif isinstance(opt_fn, type) and issubclass(opt_fn, Optimizer):
            self.admit(opt_fn)

    @property
    def name(self) -> str:
        """The name of the wrapped class."""
        kind = type(self.opt_fn) if isinstance(self.opt_fn, Optimizer) else self.opt_fn
        return getattr(kind, "__name__", repr(kind))

    @property
    def _who(self) -> str:
        return f"{type(self).__name__}({self.name})"

    def admit(self, cls: type[Optimizer]) -> None:
        """Refuse a class of optimizers."""

    def _check(self, inner: Any) -> None:
        if not isinstance(inner, Optimizer):
            raise TypeError(f"{self._who}: must make a torch.optim.Optimizer, got {type(inner).__name__}")
        self.admit(type(inner))
        others = [k for k, v in vars(inner).items() if isinstance(v, Optimizer)]
        if others:
            raise TypeError(
                f"{self._who}: steps another optimizer, its {others[0]}, whose state cannot be reached; "
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
        groups, theirs = [], {}
        for group in self.opt_fn.param_groups:
            first = len(theirs)
            theirs.update({id(p): first + k for k, p in enumerate(group["params"])})
            groups.append({**group, "params": [at[k] for k in range(first, len(theirs)) if k in at]})
        new = replica(self.opt_fn, groups)
        for name, value in vars(new).items():  # LBFGS holds on to its parameters
            if name != "param_groups" and isinstance(value, list) and value and all(id(p) in theirs for p in value):
                vars(new)[name] = [at[theirs[id(p)]] for p in value if theirs[id(p)] in at]
        return new

    def _places(self, leaves: list[Tensor]) -> list[int]:
        """Where each parameter stands in the instance; -1 without one."""
        if not isinstance(self.opt_fn, Optimizer):
            return [-1] * len(leaves)
        theirs = [p for group in self.opt_fn.param_groups for p in group["params"]]
        by_storage = {storage_of(p): i for i, p in enumerate(theirs)}
        found = [by_storage.get(storage_of(p), -1) for p in leaves]
        if -1 not in found:
            return found
        if [p.shape for p in leaves] != [p.shape for p in theirs]:
            raise ValueError(
                f"{self._who}: its parameters have shapes {[tuple(p.shape) for p in theirs]}, and the module's "
                f"{[tuple(p.shape) for p in leaves]}; make it on the same parameters, in the same order"
            )
        return list(range(len(leaves)))

    def _refuse_transforms(self, tensors: Iterable[Tensor]) -> None:
        for x in tensors:
            graph = torch.is_grad_enabled() and x.grad_fn is not None
            if graph or torch._C._functorch.is_functorch_wrapped_tensor(x):  # pyright: ignore[reportAttributeAccessIssue]
                raise RuntimeError(
                    f"{self._who}: runs the optimizer's own in-place code, which can be neither vmapped nor "
                    "differentiated; use a module of tz.m, or detach parameters and gradients"
                )

    def __repr__(self) -> str:
        if isinstance(self.opt_fn, Optimizer):
            return f"{type(self).__name__}({self.name} instance)"
        shown = [self.name, *map(repr, self.args), *(f"{k}={v!r}" for k, v in self.kwargs)]
        return f"{type(self).__name__}({', '.join(shown)})"


def as_leaf(x: Tensor) -> Tensor:
    """A parameter of its own."""
    return torch.nn.Parameter(x.detach().clone(memory_format=torch.preserve_format))


def storage_of(x: Tensor) -> tuple[Any, ...]:
    """What tells whether two tensors are the same memory."""
    return (x.device, x.data_ptr(), x.shape, x.stride()) if x.numel() else (id(x),)


def containers(inner: Optimizer) -> list[dict[Any, Any]]:
    """Where an optimizer may keep things for all parameters: its groups, named entries of `state`, its attributes."""
    return [*inner.param_groups, inner.state, vars(inner)]


def snapshot(container: dict[str, Any]) -> dict[str, Any]:
    """The numbers and tensors in a container, safe from later changes."""
    return {
        k: v.detach().clone() if isinstance(v, Tensor) else v
        for k, v in container.items()
        if isinstance(v, bool | int | float | Tensor)
    }


def changing(inner: Optimizer, before: list[dict[str, Any]]) -> list[list[str]]:
    """In each container, what has changed, and what is in a group and is no setting."""
    settings = {*inspect.signature(type(inner).__init__).parameters, *BOOKKEEPING}
    groups = len(inner.param_groups)
    return [
        [k for k, v in new.items() if k not in old or unlike(v, old[k]) or (i < groups and k not in settings)]
        for i, (new, old) in enumerate(zip(map(snapshot, containers(inner)), before, strict=True))
    ]


def unlike(a: Any, b: Any) -> bool:
    """Whether two values differ in type or value."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return not torch.equal(a, b)
    return type(a) is not type(b) or a != b


def replica(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Optimizer:
    """A shallow copy with other groups and no buffers; what a scheduler put on the instance stays behind."""
    new = object.__new__(type(optimizer))
    new.__dict__.update({k: v for k, v in vars(optimizer).items() if k != "step"})
    new.state = collections.defaultdict(dict)
    new.param_groups = groups
    return new
