"""ClosureObjective: the closure of `Modular.step` as something that can be evaluated at any point."""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter as keep_version
from torch.nn import Parameter

from torchzero.core import tree
from torchzero.core.objective import Objective, one_number
from torchzero.core.tree import Tree
from torchzero.stateful.parameters import base_of_view, clear_gradient, gradient

_NEEDS_AUTOGRAD = re.compile("requires?[ _]grad")  # in what torch says where a graph is missing


class ClosureObjective(Objective):
    """Evaluate a closure, at x0 or at any other point, and leave the parameters as they were.

    Another point is copied into the live parameters, the closure is called, and x0 is put back bit for bit, also when
    the closure raises or is interrupted. Gradients are cleared before every backward pass. The closure gets False for
    a value alone, and no argument for value and gradient.

    A value is evaluated with autograd off, which keeps no graph. A closure that fails without autograd, as the loss of
    a physics-informed network does, is called again with it on, and from then on only so.

    Args:
        closure: the user's function.
        live: the parameters, in leaf order.
        x0: the tree of their values that the step sees.
        owners: every parameter whose gradient the closure may write; cleared before backward.
        recording: whether the closure is known to need autograd for a value; becomes True when it turns out to.
        askers: names of the modules that evaluate.
    """

    def __init__(
        self,
        closure: Callable[..., Any],
        live: list[Tensor],
        x0: Tree,
        owners: list[Tensor],
        recording: bool = False,
        askers: Iterable[str] = (),
    ) -> None:
        self.closure = closure
        self.live = live
        self.x0 = x0
        self.owners = owners
        self.recording = recording
        self.askers = askers
        self.calls = 0
        self.first: Any = None
        self.at_x0: Any = None

    def _note(self, value: Any, here: bool) -> Tensor:
        if value is None:
            raise TypeError("Modular.step(closure): the closure returned None; it must return the loss")
        if self.calls == 0:
            self.first = value
        if here and self.at_x0 is None:
            self.at_x0 = value
        self.calls += 1
        if isinstance(value, Tensor):
            return one_number(value.detach())
        like = self.live[0]
        return torch.as_tensor(value, dtype=like.dtype if like.is_floating_point() else None, device=like.device)

    @property
    def returned(self) -> Any:
        """What `Modular.step` returns: the loss at x0, or the first value if there was none."""
        return self.first if self.at_x0 is None else self.at_x0

    @contextmanager
    def _at(self, params: Tree) -> Iterator[bool]:
        """Move the live parameters to `params`; yields whether that is x0."""
        here, home = tree.leaves(params), tree.leaves(self.x0)
        if params is self.x0 or all(a is b for a, b in zip(here, home, strict=True)):
            yield True
            return
        kept = [p.detach().clone() for p in self.live]
        here = [x.detach().clone() if x is h else x.detach() for x, h in zip(here, home, strict=True)]
        with ExitStack() as stack:
            # What was recorded at x0 may be differentiated when x0 is back: autograd need not know of the journey.
            for p in self.live:
                if type(p) in (Tensor, Parameter):
                    stack.enter_context(keep_version(p))
            try:
                with torch.no_grad():
                    for p, x in zip(self.live, here, strict=True):
                        p.copy_(x)
                yield False
            finally:
                with torch.no_grad():
                    for p, x in zip(self.live, kept, strict=True):
                        p.copy_(x)

    def _ask(self) -> Any:
        """closure(False), in the grad mode of the moment."""
        try:
            return self.closure(False)
        except TypeError:
            if _takes_an_argument(self.closure):
                raise
        names = list(dict.fromkeys(self.askers))
        who = {0: "a module", 1: names[0] if names else ""}.get(len(names), f"one of {', '.join(names)}")
        raise TypeError(
            f"Modular.step(closure): {who} evaluates the loss alone, by closure(False), and this closure takes no "
            "argument; define it as closure(backward=True), and clear gradients and call backward only if backward"
        )

    def _without_gradient(self) -> Any:
        if not self.recording:
            try:
                with torch.no_grad():
                    return self._ask()
            except RuntimeError as error:
                if not _NEEDS_AUTOGRAD.search(str(error)):
                    raise
        with self._gradients_aside(), torch.enable_grad():
            raw = self._ask()
        self.recording = True
        return raw.detach() if isinstance(raw, Tensor) else raw

    @contextmanager
    def _gradients_aside(self) -> Iterator[None]:
        """No gradients inside the block, and those from before after it."""
        kept = [(p, _leaf(p).grad) for p in self.owners]
        try:
            for p in self.owners:
                clear_gradient(p)
            yield
        finally:
            for p, g in kept:
                _leaf(p).grad = g

    def value(self, params: Tree) -> Tensor:
        with self._at(params) as here:
            return self._note(self._without_gradient(), here)

    def value_and_grad(self, params: Tree) -> tuple[Tensor, Tree]:
        with self._at(params) as here, nullcontext() if here else self._gradients_aside():
            for p in self.owners:
                clear_gradient(p)
            with torch.enable_grad():
                raw = self.closure()
            grads = [_dense(g, p) if (g := gradient(p)) is not None else torch.zeros_like(p) for p in self.live]
            value = self._note(raw, here)
            if isinstance(raw, Tensor) and raw.ndim:
                grads = [0.5 * g for g in grads]
        return value, self._tree(grads)

    def residuals(self, params: Tree) -> Tensor:
        with self._at(params) as here:
            raw = self._without_gradient()
            value = self._note(raw, here)
            return raw.detach().reshape(-1) if isinstance(raw, Tensor) else value.reshape(1)

    def jacobian(self, params: Tree) -> tuple[Tensor, Tensor]:
        with self._at(params) as here, torch.enable_grad():
            r = self._recorded(here).reshape(-1)
            return r.detach(), _rows(r, self.live)

    def hvp(self, params: Tree, v: Tree) -> Tree:
        with self._at(params) as here, torch.enable_grad():
            return self._tree(_times(self._slopes(here), self.live, tree.leaves(v)))

    def linearize(self, params: Tree) -> tuple[Tree, Callable[[Tree], Tree]]:
        home = tree.leaves(self.x0)
        if not all(a is b for a, b in zip(tree.leaves(params), home, strict=True)):
            return super().linearize(params)  # the graph of another point does not outlive the return to x0
        with self._at(params) as here, torch.enable_grad():
            slopes = self._slopes(here)
        grad = self._tree([g.detach() for g in slopes])
        return grad, lambda v: self._tree(_times(slopes, self.live, tree.leaves(v)))

    def hessian(self, params: Tree) -> Tensor:
        with self._at(params) as here, torch.enable_grad():
            return _rows(torch.cat([g.reshape(-1) for g in self._slopes(here)]), self.live)

    def _recorded(self, here: bool) -> Tensor:
        raw = self._ask()
        self._note(raw, here)
        if not isinstance(raw, Tensor) or not raw.requires_grad:
            raise RuntimeError(
                "Modular.step(closure): a module differentiates the loss, so closure(False) must return a tensor that "
                "was computed from the parameters with autograd on; return the loss itself, not loss.item()"
            )
        return raw

    def _slopes(self, here: bool) -> list[Tensor]:
        """The gradient with a graph of its own."""
        loss = one_number(self._recorded(here))
        return list(torch.autograd.grad(loss, self.live, create_graph=True, materialize_grads=True))

    def _tree(self, values: list[Tensor]) -> Tree:
        return tree.unflatten(tree.flatten(self.x0)[1], values)


def _takes_an_argument(closure: Callable[..., Any]) -> bool:
    try:
        inspect.signature(closure).bind(False)
    except TypeError:
        return False
    except ValueError:  # it has none that can be seen
        pass
    return True


def _rows(outputs: Tensor, inputs: list[Tensor]) -> Tensor:
    """The Jacobian of a vector (m,) with respect to all elements: (m, n), in one batched backward pass."""
    if not outputs.requires_grad or not outputs.numel():
        return torch.zeros(outputs.numel(), sum(p.numel() for p in inputs), dtype=outputs.dtype, device=outputs.device)
    eye = torch.eye(outputs.numel(), dtype=outputs.dtype, device=outputs.device)
    parts = torch.autograd.grad(outputs, inputs, eye, is_grads_batched=True, allow_unused=True)
    zeros = [torch.zeros(len(eye), p.numel(), dtype=p.dtype, device=p.device) for p in inputs]
    return torch.cat([z if g is None else g.reshape(z.shape) for g, z in zip(parts, zeros, strict=True)], 1)


def _times(slopes: list[Tensor], inputs: list[Tensor], v: list[Tensor]) -> list[Tensor]:
    """The derivative of <slopes, v>: the Hessian times v; the graph is kept for the next product."""
    curved = [(g, x) for g, x in zip(slopes, v, strict=True) if g.requires_grad]
    if not curved:
        return [torch.zeros_like(p) for p in inputs]
    outputs, weights = zip(*curved, strict=True)
    return list(torch.autograd.grad(outputs, inputs, weights, retain_graph=True, materialize_grads=True))


def _leaf(p: Tensor) -> Tensor:
    base = None if p.is_leaf else base_of_view(p)
    return p if base is None else base


def _dense(g: Tensor, p: Tensor) -> Tensor:
    if g.layout != torch.strided:
        raise RuntimeError(
            f"Modular: the gradient of a parameter of shape {tuple(p.shape)} has layout {g.layout}; only dense "
            "gradients are supported; build the embedding with sparse=False"
        )
    return g.detach() if g.requires_grad else g
