"""Wrap: any optimizer class of torch's kind as a pure module."""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from torchzero.core import tree
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.wrappers.base import Foreign, Kept, as_leaf, changing, containers, snapshot


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


class Wrap(Foreign, init=False):
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

    def admit(self, cls: type[Optimizer]) -> None:
        parameters = list(inspect.signature(cls.step).parameters.values())[1:]
        if any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
            raise TypeError(
                f"Wrap({cls.__name__}): {cls.__name__}.step needs a closure, and Wrap has one direction to give; use "
                "WrapClosure, or a module of tz.m"
            )

    def _advance(self, inner: Optimizer, params: Iterable[Tensor], grads: Iterable[Tensor]) -> None:
        for p, g in zip(params, grads, strict=True):
            p.grad = g.detach().clone(memory_format=torch.preserve_format)
        try:
            inner.step()
        except Exception as error:
            raise RuntimeError(
                f"{self._who}: {self.name}.step() failed: {error}; Wrap gives it parameters and gradients, and "
                "no closure: for what evaluates the objective use WrapClosure, or a module of tz.m"
            ) from error

    def _shared(self, inner: Optimizer, keys: Sequence[Iterable[str]]) -> tuple[Kept, ...]:
        """The wanted keys of every container."""
        pairs = zip(containers(inner), keys, strict=True)
        return tuple(Kept.of({k: container[k] for k in wanted if k in container}) for container, wanted in pairs)

    def _same(self, new: Kept, old: Kept, where: str) -> Kept:
        """`new`, in the structure that the state has for life."""
        if new.differs(old):
            raise RuntimeError(
                f"{self._who}: what it keeps for {where} has changed, from {old.describe()} to {new.describe()}; "
                "a state must keep its shape, so this optimizer cannot be wrapped"
            )
        return Kept(new.tensors, old.aux)

    # ------------------------------------------------------------------ the triple

    def init(self, params: Tree) -> WrapState:
        leaves, spec = tree.flatten(params)
        self._refuse_transforms(leaves)
        places, copies = self._places(leaves), [as_leaf(x) for x in leaves]
        rows: list[Buffers] = []
        shared: tuple[Kept, ...] = ()
        never = torch.zeros((), dtype=torch.bool, device=tree.reference(params).device)
        if leaves:
            # three dry steps on copies tell which buffers there are once it has run for a while
            inner = self._make(copies, places)
            before = [snapshot(x) for x in containers(inner)]
            with torch.random.fork_rng(devices=[]):
                for value in (0.0, 1.0, 1.0):
                    self._advance(inner, copies, [torch.full_like(x, value) for x in leaves])
            keys = changing(inner, before)
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
        copies = [as_leaf(x) for x in xs]
        inner = self._make(copies, [int(row.place) for row in rows])
        if bool(state.started):
            for container, kept in zip(containers(inner), state.shared, strict=True):
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
