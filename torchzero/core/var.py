"""Var: everything that a step may look at."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.objective import Objective, as_objective
from torchzero.core.registration import register_node
from torchzero.core.tree import Tree

_NONE: tuple[()] = ()


class Var:
    """An immutable record of one step; `replace` makes the next one.

    Args:
        params: the point x0 of this step: any tree of tensors.
        objective: what may be evaluated: a function params -> loss, or an `Objective`.
        grad: the gradient at x0, if it is already known.
        loss: the loss at x0, if it is already known.
        update: the direction so far, always *subtracted* in the end; the gradient until some module sets it.
        step: how many steps were taken before this one.
        attrs: named values that modules publish.
        storage: named values that the caller hands to modules.
        stop: modules after this one, at the same level, are skipped.
        skip_update: the parameters are left alone.
        should_terminate: some module found that the work is done.
        accepted: loss and gradient at params - update, where some module has evaluated them; forgotten when a later
            module changes the direction.

    `grad` and `loss` are evaluated when first asked for and remembered for this (objective, params).

    Raises:
        RuntimeError: when `grad` or `loss` is asked for and there is nothing to get it from.

    >>> import torchzero as tz
    >>> var = tz.Var(torch.tensor([3.0]), objective=lambda x: (x**2).sum())
    >>> var.grad
    tensor([6.])
    """

    __slots__ = (
        "_memo",
        "_update",
        "accepted",
        "attrs",
        "objective",
        "params",
        "should_terminate",
        "skip_update",
        "step",
        "stop",
        "storage",
    )

    params: Tree
    objective: Objective | None
    step: Any
    attrs: Mapping[str, Any]
    storage: Mapping[str, Any]
    stop: Tensor | bool
    skip_update: Tensor | bool
    should_terminate: Tensor | bool
    accepted: tuple[Tensor, Tree] | None

    def __init__(
        self,
        params: Tree,
        *,
        objective: Any = None,
        grad: Tree | None = None,
        loss: Tensor | None = None,
        update: Tree | None = None,
        step: Any = 0,
        attrs: Mapping[str, Any] | None = None,
        storage: Mapping[str, Any] | None = None,
        stop: Tensor | bool = False,
        skip_update: Tensor | bool = False,
        should_terminate: Tensor | bool = False,
    ) -> None:
        if grad is not None:
            self._check_grad(params, grad)
        write = object.__setattr__
        write(self, "params", params)
        write(self, "objective", as_objective(objective))
        write(self, "_update", update)
        write(self, "step", step)
        write(self, "attrs", attrs or {})
        write(self, "storage", storage or {})
        write(self, "stop", stop)
        write(self, "skip_update", skip_update)
        write(self, "should_terminate", should_terminate)
        write(self, "accepted", None)
        write(self, "_memo", {"grad": grad, "loss": loss})

    @staticmethod
    def _check_grad(params: Tree, grad: Tree) -> None:
        (leaves, wanted), (grads, given) = tree.flatten(params), tree.flatten(grad)
        remedy = "differentiate with respect to the same tree that you pass as params"
        if given != wanted:
            raise ValueError(f"Var(grad=...): must have the structure of params, {wanted}; got {given}; {remedy}")
        if any(p.shape != g.shape for p, g in zip(leaves, grads, strict=True)):
            shapes = zip(tree.paths(params), leaves, grads, strict=True)
            path, p, g = next((path, p, g) for path, p, g in shapes if p.shape != g.shape)
            raise ValueError(
                f"Var(grad=...): must have the shapes of params, {tuple(p.shape)}{f' at {path}' if path else ''}; "
                f"got {tuple(g.shape)}; {remedy}"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"Var is immutable: use var.replace({name}=...)")

    def __setstate__(self, state: Any) -> None:
        for name, value in state[1].items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> "Var":
        """A Var with some fields changed; a new `params` or `objective` forgets the remembered loss and gradient."""
        new = object.__new__(Var)
        write = object.__setattr__
        memo = self._memo
        for name in Var.__slots__:
            write(new, name, getattr(self, name))
        if ("params" in changes and changes["params"] is not self.params) or (
            "objective" in changes and changes["objective"] is not self.objective
        ):
            memo = {"grad": None, "loss": None}
        if "update" in changes or "params" in changes:
            write(new, "accepted", None)
        if "grad" in changes or "loss" in changes:
            memo = {**memo, **{k: changes.pop(k) for k in ("grad", "loss") if k in changes}}
        write(new, "_memo", memo)
        for name, value in changes.items():
            if name == "update":
                name = "_update"
            elif name == "objective":
                value = as_objective(value)
            write(new, name, value)
        return new

    @property
    def update(self) -> Tree:
        """The direction so far."""
        return self.grad if self._update is None else self._update

    @property
    def has_update(self) -> bool:
        """Whether some module set the direction."""
        return self._update is not None

    @property
    def has_grad(self) -> bool:
        """Whether the gradient is known already."""
        return self._memo["grad"] is not None

    @property
    def has_loss(self) -> bool:
        """Whether the loss is known already."""
        return self._memo["loss"] is not None

    @property
    def grad(self) -> Tree:
        """The gradient at x0."""
        if self._memo["grad"] is None:
            if self.objective is None:
                raise RuntimeError(
                    "Var.grad: there is no gradient and no objective to evaluate; give Var(grad=...) or "
                    "Var(objective=...), or with Modular call loss.backward() first or pass a closure"
                )
            loss, grad = self.objective.value_and_grad(self.params)
            self._memo.update(grad=grad, loss=loss)
        return self._memo["grad"]

    @property
    def loss(self) -> Tensor:
        """The loss at x0."""
        if self._memo["loss"] is None:
            if self.objective is None:
                raise RuntimeError(
                    "Var.loss: there is no loss and no objective to evaluate; give Var(loss=...) or "
                    "Var(objective=...), or with Modular pass a closure or step(loss=...)"
                )
            if self._memo["grad"] is None and self.storage.get("wants_grad", True):
                loss, grad = self.objective.value_and_grad(self.params)
                self._memo.update(grad=grad, loss=loss)
            else:
                self._memo["loss"] = self.objective.value(self.params)
        return self._memo["loss"]

    def need_objective(self, module: object) -> Objective:
        """The objective, or an error that names the module which cannot do without."""
        if self.objective is None:
            raise RuntimeError(
                f"{type(module).__name__}: must evaluate the objective, and there is none; "
                "give Var(objective=...), or with Modular pass a closure to step"
            )
        return self.objective

    def __repr__(self) -> str:
        known = [name for name in ("grad", "loss") if self._memo[name] is not None]
        update = "gradient" if self._update is None else repr(self._update)
        return f"Var(params={self.params!r}, update={update}, known={known})"


_TREES = ("params", "_update", "grad", "loss")
_FLAGS = ("stop", "skip_update", "should_terminate")


def _flatten(var: Var) -> tuple[tuple[Any, ...], Any]:
    present = (var.params, var._update, var._memo["grad"], var._memo["loss"])
    values = tuple(_NONE if x is None else x for x in present)
    flags = tuple(getattr(var, f) for f in _FLAGS)
    dynamic = tuple(_NONE if isinstance(f, bool) else f for f in flags)
    step = _NONE if isinstance(var.step, int) else var.step
    attrs = dict(var.attrs)
    aux = (
        tuple(x is None for x in present),
        tuple(f if isinstance(f, bool) else None for f in flags),
        var.step if isinstance(var.step, int) else None,
        var.objective,
    )
    return (*values, *dynamic, step, attrs), aux


def _unflatten(aux: Any, values: tuple[Any, ...]) -> Var:
    absent, flags, step, objective = aux
    params, update, grad, loss = (None if gone else x for gone, x in zip(absent, values[:4], strict=True))
    var = Var(params, objective=objective)
    memo = {"grad": grad, "loss": loss}
    named = {f: v if s is None else s for f, v, s in zip(_FLAGS, values[4:7], flags, strict=True)}
    if step is None:
        step = values[7] if not isinstance(values[7], int) else torch.tensor(values[7])  # vmap fills in zeros
    var = var.replace(update=update, step=step, attrs=values[8], **named)
    var._memo.update(memo)
    return var


register_node(Var, _flatten, _unflatten, lambda _: (*_TREES, *_FLAGS, "step", "attrs"))


def apply_update(var: Var) -> Tree:
    """The parameters after this step: params - update, each leaf in its own dtype.

    >>> import torchzero as tz
    >>> tz.apply_update(tz.Var(torch.tensor([3.0]), grad=torch.tensor([1.0])))
    tensor([2.])
    """
    if var.skip_update is True:
        return var.params
    new = tree.map(lambda p, u: tree.cast(p - u, p), var.params, var.update)
    return new if var.skip_update is False else tree.where(var.skip_update, var.params, new)


def where(flag: Tensor, a: Var, b: Var) -> Var:
    """The Var `a` where the bool tensor `flag` holds, else `b`: what a data-dependent stop needs."""

    def pick(x: Any, y: Any) -> Any:
        if x is y or (isinstance(x, bool) and x == y):
            return x
        return torch.where(flag, torch.as_tensor(x), torch.as_tensor(y))

    flags = {f: pick(getattr(a, f), getattr(b, f)) for f in _FLAGS}
    attrs = {
        k: tree.where(flag, v, b.attrs[k]) if k in b.attrs and v is not b.attrs[k] else v for k, v in a.attrs.items()
    }
    return a.replace(update=tree.where(flag, a.update, b.update), attrs={**b.attrs, **attrs}, **flags)
