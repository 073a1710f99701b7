"""A module of your own at each of the three levels, checked by the laws, then used.

python examples/write_a_module.py
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

import torchzero as tz
import torchzero.testing
from torchzero.core.hyper import Hyper, positive, within


class HeavyBallState(NamedTuple):
    m: Tensor  # like param   decaying sum of u


class HeavyBall(tz.TensorwiseTransform):
    """A function of one tensor: m ← βm + u, d = m. Most modules are of this kind."""

    locality = "elementwise"  # an output element depends on nothing but the same element
    momentum: Hyper = within(0, 1, default=0.9)

    def init_tensor(self, param: Tensor) -> HeavyBallState:
        return HeavyBallState(torch.zeros_like(param))

    def update_tensor(self, state: HeavyBallState, u: Tensor, at: tz.core.At) -> HeavyBallState:
        return HeavyBallState(self.momentum * state.m + u)

    def apply_tensor(self, state: HeavyBallState, u: Tensor, at: tz.core.At) -> Tensor:
        return state.m


class UnitNorm(tz.Transform):
    """A function of the tree: d = u / (‖u‖ + ε), one norm for all parameters; ε may differ from leaf to leaf."""

    eps: Hyper = positive(default=1e-8)

    def apply_tree(self, state: Any, u: tz.core.tree.Tree, var: tz.Var) -> tz.core.tree.Tree:
        norm = tz.tree.norm(u)
        return tz.tree.zipmap(lambda x, eps: x / (norm + eps), u, self.eps)


class ExtragradientState(NamedTuple):
    g: tz.core.tree.Tree  # like params   gradient at the look-ahead point


class Extragradient(tz.Module):
    """A function of a Var: the gradient at θ - ρu. It evaluates in `update` and only hands out in `apply`."""

    needs = frozenset({"params", "objective"})
    rho: Hyper = positive(default=0.05)

    def init(self, params: tz.core.tree.Tree) -> ExtragradientState:
        return ExtragradientState(tz.tree.zeros_like(params))

    def update(self, state: ExtragradientState, var: tz.Var) -> ExtragradientState:
        ahead = tz.tree.sub(var.params, tz.tree.scale(self.rho, var.update))
        return ExtragradientState(var.need_objective(self).value_and_grad(ahead)[1])

    def apply(self, state: ExtragradientState, var: tz.Var) -> tz.Var:
        return var.replace(update=state.g)


def main() -> None:
    target = torch.tensor([1.0, -2.0, 3.0])
    for module, lr in ((HeavyBall(), 0.01), (UnitNorm(), 0.05), (Extragradient(), 0.1)):
        torchzero.testing.check_module(module)
        opt, w = tz.Chain(module, tz.m.LR(lr)), torch.zeros(3)
        state = opt.init(w)
        for _ in range(200):
            w, state = opt(w, state, lambda w: ((w - target) ** 2).sum())
        print(f"{module!r:17} obeys the laws; distance to the minimum after 200 steps: {(w - target).norm():.1e}")


if __name__ == "__main__":
    main()
