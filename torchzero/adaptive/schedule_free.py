"""ScheduleFree: averaging in place of a decaying learning rate, around any optimizer."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, child, integer, nonnegative, number, within
from torchzero.core.module import Module
from torchzero.core.safe import safe_div, safe_pow
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class ScheduleFreeState(NamedTuple):
    """State of all tensors."""

    t: Tensor  # ()                         updates absorbed
    z: Tree  # like params                  where the inner optimizer is
    x: Tree  # like params                  weighted average of all z: what to evaluate the model at
    lr_max: Tree  # () for each parameter     largest learning rate so far
    weight_sum: Tree  # () for each parameter   sum of the weights of all z
    inner: Any  # state of the inner module


class ScheduleFree(Module):
    r"""Let an optimizer walk undisturbed, average its path, and take gradients between the two.

    $$ z_{t+1} = z_t - γ_t\,\mathrm{inner}(u_t),\quad w_t = t^r \max_{s≤t} γ_s^p,\quad c_t = \frac{w_t}{\sum_{s≤t} w_s},
       \quad x_{t+1} = (1-c_t)x_t + c_t z_{t+1},\quad y_{t+1} = (1-β)z_{t+1} + βx_{t+1} $$

    The parameters are y, where gradients are taken. Evaluate the model at x, which `eval_params(state, params)`
    returns. Stands last in its chain; the inner module should have no momentum of its own, for β is the momentum.
    Both z and x are stored, so that β may be 0 (averaging alone) and x never suffers from rounding.

    Args:
        inner: module or sequence of modules that make the direction in which z moves; they see y as the parameters.
        lr: learning rate γ ≥ 0, which multiplies that direction.
        beta: β in [0, 1].
        weight_lr_power: p ≥ 0: how much less the average counts the steps of a warm-up.
        r: power of the step number in the weights.
        warmup_steps: γ_t = lr·min(1, t/warmup_steps); 0 for none.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt, y = tz.m.ScheduleFree(tz.m.RMSprop(debias=True), lr=0.5, beta=0.75), torch.tensor([1.0])
    >>> state = opt.init(y)
    >>> for _ in range(2):
    ...     y, state = opt(y, state, grad=torch.tensor([3.0]))
    >>> y, opt.eval_params(state, y)
    (tensor([0.1875]), tensor([0.2500]))

    Reference: Defazio et al. 2024, section 3, https://arxiv.org/abs/2405.15682; the weights are those of the authors'
    code, where p = 2
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    inner: Module = child()
    lr: Hyper = nonnegative(1.0)
    beta: Hyper = within(0, 1, default=0.9, closed_high=True)
    weight_lr_power: Hyper = nonnegative(2.0)
    r: Hyper = number(0.0)
    warmup_steps: Hyper = integer(0, 0)

    def init(self, params: Tree) -> ScheduleFreeState:
        def zeros() -> Tree:
            return tree.map(lambda p: torch.zeros((), dtype=torch.float64, device=p.device), params)

        return ScheduleFreeState(tree.counter(params), params, params, zeros(), zeros(), self.inner.init(params))

    def update(self, state: ScheduleFreeState, var: Var) -> ScheduleFreeState:
        inner, out = self.inner.step(state.inner, var)
        t = (state.t + 1).to(torch.float64)

        def rate(lr_max: Tensor, lr: Any, warmup: Any) -> Tensor:
            return lr * (t / torch.clamp(torch.zeros_like(t) + warmup, min=1)).clamp_max(1) + torch.zeros_like(lr_max)

        def weight(lr_max: Tensor, r: Any, power: Any) -> Tensor:
            return t**r * safe_pow(lr_max, power)

        lr = tree.zipmap(rate, state.lr_max, self.lr, self.warmup_steps)
        lr_max = tree.map(torch.maximum, state.lr_max, lr)
        w = tree.zipmap(weight, lr_max, self.r, self.weight_lr_power)
        weight_sum = tree.add(state.weight_sum, w)
        z = tree.map(lambda z, d, lr: tree.cast(z - lr * d, z), state.z, out.update, lr)

        def average(x: Tensor, z: Tensor, w: Tensor, total: Tensor) -> Tensor:
            return tree.cast(x + safe_div(w, total) * (z - x), x)

        x = tree.map(average, state.x, z, w, weight_sum)
        return ScheduleFreeState(state.t + 1, z, x, lr_max, weight_sum, inner)

    def apply(self, state: ScheduleFreeState, var: Var) -> Var:
        def step(p: Tensor, z: Tensor, x: Tensor, beta: Any) -> Tensor:
            return tree.cast(p - (z + beta * (x - z)), p)

        return var.replace(update=tree.zipmap(step, var.params, state.z, state.x, self.beta))

    def eval_params(self, state: ScheduleFreeState, params: Tree) -> Tree:
        return state.x

    def child_state(self, state: ScheduleFreeState, name: str) -> Any:
        return state.inner
