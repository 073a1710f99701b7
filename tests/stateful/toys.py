"""A small network with its data, and small modules with one property each."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

import torchzero as tz
from torchzero.core import hyper, tree
from torchzero.core.schedule import Schedule
from torchzero.core.transform import At

# ---------------------------------------------------------------------- a model


def net(seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.nn.Sequential:
    """The same network every time: weights (4, 3), (4,), (2, 4), (2,)."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).to(dtype)


def loss_of(model: Callable[[Tensor], Tensor], i: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The loss on batch `i`."""
    k = torch.arange(15, dtype=torch.float64).reshape(5, 3)
    x = torch.sin(k + 0.7 * i).to(dtype)
    return ((model(x) - x[:, :2] ** 2) ** 2).mean()


def train(opt: Any, model: Any, steps: int, start: int = 0, after: Callable[[], Any] = lambda: None) -> None:
    """Plain training: forward, backward, step, zero_grad."""
    dtype = next(model.parameters()).dtype
    for i in range(start, start + steps):
        loss_of(model, i, dtype).backward()
        opt.step()
        opt.zero_grad()
        after()


def closure_for(opt: Any, model: Any, i: int) -> Callable[..., Tensor]:
    """The documented closure on batch `i`."""

    def closure(backward: bool = True) -> Tensor:
        loss = loss_of(model, i)
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    return closure


def values(model: Any) -> list[Tensor]:
    """A copy of the parameters."""
    params = model.parameters() if isinstance(model, torch.nn.Module) else model
    return [p.detach().clone() for p in params]


def equal(a: Any, b: Any) -> bool:
    """Whether two lists of tensors (or two models) have the same bits."""
    a, b = values(a), values(b)
    return len(a) == len(b) and all(x.dtype == y.dtype and torch.equal(x, y) for x, y in zip(a, b, strict=True))


def close(a: Any, b: Any, rtol: float = 1e-10) -> None:
    """Assert that two lists of tensors (or two models) agree."""
    torch.testing.assert_close(values(a), values(b), rtol=rtol, atol=1e-12)


def fixed_gradients(params: list[Tensor], i: int) -> None:
    """Put the gradient of step `i` into `.grad`."""
    for k, p in enumerate(params):
        n = torch.arange(p.numel(), dtype=torch.float64).reshape(p.shape)
        p.grad = torch.cos(n + k + 0.9 * i).to(p.dtype)


# ---------------------------------------------------------------------- modules


class DelayState(NamedTuple):
    """State of Delay."""

    last: Any  # like params   the direction of this step
    before: Any  # like params   the direction of the step before


class Delay(tz.Transform):
    """Emit the direction of the step before: the state holds a gradient as it came."""

    locality = "elementwise"

    def init_tree(self, params: Any) -> DelayState:
        return DelayState(tree.zeros_like(params), tree.zeros_like(params))

    def update_tree(self, state: DelayState, u: Any, var: tz.Var) -> DelayState:
        return DelayState(u, state.last)

    def apply_tree(self, state: DelayState, u: Any, var: tz.Var) -> Any:
        return state.before


class Anchor(tz.Transform):
    """Pull towards the starting point, which the state holds as it came."""

    locality = "elementwise"
    strength: Any = hyper.number(0.1)

    def init_tree(self, params: Any) -> Any:
        return params

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return tree.map(lambda d, p, x: d + self.strength * (p - x), u, var.params, state)


class Momentum(tz.TensorwiseTransform):
    """Heavy ball with a setting called momentum, as torch.optim.SGD has it."""

    class State(NamedTuple):
        """State of one tensor."""

        m: Tensor  # like param   sum of past directions

    locality = "elementwise"
    momentum: Any = hyper.within(0, 1, default=0.9)

    def init_tensor(self, param: Tensor) -> Any:
        return self.State(torch.zeros_like(param))

    def update_tensor(self, state: Any, u: Tensor, at: At) -> Any:
        return self.State(self.momentum * state.m + u)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return state.m


class Epsilon(tz.TensorwiseTransform):
    """Add eps: a second module with a setting of that name."""

    locality = "elementwise"
    eps: Any = hyper.number(0.0)

    def apply_tensor(self, state: Any, u: Tensor, at: At) -> Tensor:
        return u + self.eps


class Both(tz.Module):
    """Run a child: something to nest other modules in."""

    modules: tz.Module = hyper.child()

    def init(self, params: Any) -> Any:
        return {"modules": self.modules.init(params)}

    def update(self, state: Any, var: tz.Var) -> Any:
        return {"modules": self.modules.update(state["modules"], var)}

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return self.modules.apply(state["modules"], var)

    def child_state(self, state: Any, name: str) -> Any:
        return state[name]


class BestOf(tz.Module):
    """Try three step lengths along the direction and keep the best."""

    class State(NamedTuple):
        """The module's state."""

        length: Tensor  # ()   the step length found

    needs = frozenset({"objective"})
    lengths = (1.0, 0.1, 0.01)

    def init(self, params: Any) -> Any:
        return self.State(tree.scalar(params, 1.0))

    def update(self, state: Any, var: tz.Var) -> Any:
        objective = var.need_objective(self)
        at = [objective.value(tree.sub(var.params, tree.scale(a, var.update))) for a in self.lengths]
        best = torch.stack([x.to(state.length.dtype) for x in at]).argmin()
        return self.State(torch.tensor(self.lengths, dtype=state.length.dtype)[best])

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=tree.scale(state.length, var.update))


class ExtraGradient(tz.Module):
    """The gradient at a trial point instead of the one at x0."""

    class State(NamedTuple):
        """The module's state."""

        grad: Any  # like params   gradient at the trial point

    needs = frozenset({"objective"})
    length: Any = hyper.number(0.1)

    def init(self, params: Any) -> Any:
        return self.State(tree.zeros_like(params))

    def update(self, state: Any, var: tz.Var) -> Any:
        trial = tree.sub(var.params, tree.scale(self.length, var.update))
        return self.State(var.need_objective(self).value_and_grad(trial)[1])

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=state.grad)


class Differences(tz.Module):
    """A gradient by forward differences along every coordinate: only values are evaluated."""

    class State(NamedTuple):
        """The module's state."""

        grad: Any  # like params   the approximation

    needs = frozenset({"objective"})
    makes_update = True
    h: Any = hyper.positive(1e-6)

    def init(self, params: Any) -> Any:
        return self.State(tree.zeros_like(params))

    def update(self, state: Any, var: tz.Var) -> Any:
        objective = var.need_objective(self)
        vector, unravel = tree.ravel(var.params)
        eye = torch.eye(vector.numel(), dtype=vector.dtype)
        there = torch.stack([objective.value(unravel(vector + self.h * e)) for e in eye])
        return self.State(unravel((there - objective.value(var.params)) / self.h))

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=state.grad)


class NeedsLoss(tz.Transform):
    """Multiply by the loss at x0."""

    needs = frozenset({"value"})

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return tree.scale(var.loss, u)


class Publish(tz.Module):
    """Publish x0, the step and what the caller handed over."""

    needs = frozenset({"params"})

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(attrs={**var.attrs, "x0": var.params, "seen_step": var.step, "storage": dict(var.storage)})


class Flag(tz.Module):
    """Set a flag of Var when the sum of the direction is negative, or always."""

    name: str = hyper.static("stop")
    tensor: bool = hyper.static(False)

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        flag = tree.total(var.update) < 0 if self.tensor else True
        return var.replace(**{self.name: flag})


class Mean(tz.Transform):
    """Centre all elements of all parameters: one number for the whole set, kept in the state."""

    class State(NamedTuple):
        """The module's state."""

        mean: Tensor  # ()   the mean that was taken away

    def init_tree(self, params: Any) -> Any:
        return self.State(tree.scalar(params, 0.0))

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return self.State(tree.total(u) / tree.count(u))

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return tree.map(lambda x: x - state.mean, u)


class Vector(tz.Transform):
    """Heavy ball on all parameters as one vector."""

    class State(NamedTuple):
        """The module's state."""

        m: Tensor  # (n,)   sum of past directions

    whole = True

    def init_tree(self, params: Any) -> Any:
        return self.State(torch.zeros_like(tree.ravel(params)[0]))

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return self.State(0.9 * state.m + tree.ravel(u)[0])

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return tree.ravel(u)[1](state.m)


class Average(tz.Transform):
    """Leave the direction alone and keep the mean of all visited parameters for evaluation."""

    class State(NamedTuple):
        """The module's state."""

        t: Tensor  # ()   steps
        mean: Any  # like params   mean of x0, x1, ...

    needs = frozenset({"params"})

    def init_tree(self, params: Any) -> Any:
        return self.State(tree.counter(params), params)

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        t = state.t + 1
        return self.State(t, tree.map(lambda m, p: m + (p - m) / t, state.mean, var.params))

    def eval_params(self, state: Any, params: Any) -> Any:
        return state.mean


class Halving(Schedule):
    """first, first/2, first/4, ..."""

    first: Any = hyper.number(0.1)

    def value(self, k: Tensor) -> Tensor:
        return self.first * 0.5**k


def leaves(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Leaf parameters with these shapes."""
    return [tensor.requires_grad_() for tensor in _fill(shapes, dtype)]


def _fill(shapes: Any, dtype: torch.dtype) -> Iterator[Tensor]:
    for i, shape in enumerate(shapes):
        n = torch.Size(shape).numel()
        yield torch.sin(1 + torch.arange(n, dtype=torch.float64) + i).reshape(shape).to(dtype)
