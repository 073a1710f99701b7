"""SWA: the mean of the parameters at regular moments."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, integer
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var, apply_update
from torchzero.misc.base import wide


class SWAState(NamedTuple):
    """State of SWA."""

    t: Tensor  # ()  int64, updates absorbed
    n: Tree  # () for each leaf  int64, samples averaged
    mean: Tree  # like params, at least float32  their mean


class SWA(Transform):
    r"""Average the parameters every so many steps, for evaluating the model at.

    $$ \bar θ \leftarrow \frac{n \bar θ + θ_t}{n + 1} \quad\text{when}\ t \ge t_0,\ t \equiv t_0 \pmod c $$

    where θₜ are the parameters that t steps lead to. Place it last. The update stays as it is, and the average is read
    by `eval_params(state, params)`; before there is one these are the parameters themselves. Statistics of batch
    normalization belong to the averaged parameters and must be computed anew for them.

    Args:
        start: t₀ ≥ 0, the steps that lead to the first parameters averaged; with 0 these are the initial ones.
        freq: c ≥ 1, steps between two samples: the length of the learning rate's cycle if it has one.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(1.0), tz.m.SWA(start=1, freq=2))
    >>> p, state = torch.tensor(0.0), None
    >>> state = opt.init(p)
    >>> for _ in range(3):
    ...     p, state = opt(p, state, grad=torch.tensor(-1.0))
    >>> p, opt.eval_params(state, p)
    (tensor(3.), tensor(2.))

    Reference: Izmailov, Podoprikhin, Garipov, Vetrov & Wilson 2018, algorithm 1, https://arxiv.org/abs/1803.05407
    """

    locality = "elementwise"
    needs = frozenset({"params"})

    start: Hyper = integer(0)
    freq: Hyper = integer(1, default=1)

    def init_tree(self, params: Tree) -> SWAState:
        t = tree.counter(params)
        n = tree.zipmap(lambda p, start: (tree.counter(p) == start).to(t.dtype), params, self.start)
        return SWAState(t, n, tree.map(wide, params))

    def update_tree(self, state: SWAState, u: Tree, var: Var) -> SWAState:
        t = state.t + 1

        def samples(n: Tensor, start: Any, freq: Any) -> Tensor:
            return torch.logical_and(t >= start, (t - start) % freq == 0).to(n.dtype)

        def average(mean: Tensor, new: Tensor, sample: Tensor, n: Tensor) -> Tensor:
            return mean + sample.to(mean.dtype) / n.clamp_min(1) * (new - mean)

        sample = tree.zipmap(samples, state.n, self.start, self.freq)
        n = tree.add(state.n, sample)
        new = tree.cast_like(apply_update(var), state.mean)
        return SWAState(t, n, tree.map(average, state.mean, new, sample, n))

    def eval_params(self, state: SWAState, params: Tree) -> Tree:
        return tree.map(lambda p, mean, n: torch.where(n > 0, tree.cast(mean, p), p), params, state.mean, state.n)
