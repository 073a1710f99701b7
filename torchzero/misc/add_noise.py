"""AddNoise: random numbers on top of the update."""

from typing import NamedTuple

from torch import Tensor

from torchzero.core import random, tree
from torchzero.core.hyper import Hyper, integer, number, static
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var

MODES = ("absolute", "global", "param", "channel")


class AddNoiseState(NamedTuple):
    """State of AddNoise."""

    key: Tensor  # (2,)  int64, the key of this step's draws


class AddNoise(Transform):
    r"""Add random numbers in proportion to the size of the update.

    $$ d = u + α\,σ\,ξ,\quad σ = 1,\ \mathrm{mean}|u|\ \text{over everything, the tensor, or the channel} $$

    Args:
        alpha: α.
        distribution: of ξ: "normal" N(0, 1), "uniform" U(-1, 1), "rademacher" ±1, or "sphere", where ξ of all
            parameters together has length 1.
        mode: "absolute" for σ = 1, or what the mean is over: "global" all parameters, "param" the tensor, "channel"
            each index of the first dimension of a tensor with at least two, and other tensors whole.
        seed: of the random numbers; drawn when the module is built if None.

    Raises:
        ValueError: for an unknown distribution or mode.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.AddNoise(2.0, "rademacher", seed=0)
    >>> opt(torch.zeros(4), opt.init(torch.zeros(4)), grad=torch.tensor([1.0, 1.0, 1.0, 1.0]))[0].abs().unique()
    tensor([1., 3.])

    Reference: cf. Neelakantan et al. 2015, https://arxiv.org/abs/1511.06807, where the noise does not scale with u.
    """

    alpha: Hyper = number(default=1.0)
    distribution: str = static(default="normal", choices=random.DISTRIBUTIONS)
    mode: str = static(default="param", choices=MODES)
    seed: Hyper = integer(0, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed is None:
            self._write("seed", random.fresh_seed())

    def init_tree(self, params: Tree) -> AddNoiseState:
        return AddNoiseState(random.key(self.seed, tree.reference(params).device))

    def update_tree(self, state: AddNoiseState, u: Tree, var: Var) -> AddNoiseState:
        return AddNoiseState(random.split(state.key)[0])

    def apply_tree(self, state: AddNoiseState, u: Tree, var: Var) -> Tree:
        noise = random.sample_tree(state.key, u, self.distribution)
        return tree.zipmap(lambda x, s, z, a: x + a * s * z, u, self._sizes(u), noise, self.alpha)

    def _sizes(self, u: Tree) -> Tree:
        if self.mode == "absolute":
            return 1.0
        if self.mode == "global":
            return tree.total(tree.map(abs, u)) / max(tree.count(u), 1)
        return tree.map(self._size, u)

    def _size(self, x: Tensor) -> Tensor:
        if not x.numel():
            return x
        if self.mode == "channel" and x.ndim > 1:
            return x.abs().mean(tuple(range(1, x.ndim)), keepdim=True)
        return x.abs().mean()
