"""RelativeWeightDecay: weight decay in proportion to the size of the update."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, positive, static
from torchzero.core.metrics import check_ord, tree_metric
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.weight_decay.base import decay


class RelativeWeightDecay(Transform):
    r"""Add the gradient of an $L_p$ penalty, times the size of the update.

    $$ d = u + λ\,\mathrm{metric}(x)\,\mathrm{sign}(θ)\,|θ|^{p-1} $$

    Args:
        weight_decay: λ ≥ 0.
        ord: p > 0; 2 gives $u + λ\,\mathrm{metric}(x)\,θ$, 1 the sign.
        norm_input: x: the "update", the gradient ("grad") or the "params", all of them together.
        metric: mad, std, var, sum, l0 to l4, linf, or the order of a norm, a number in [0, inf].
        cautious: add only where the penalty's gradient has the sign of the update.

    Raises:
        ValueError: for a number outside its range, or an unknown input or metric.

    >>> import torch, torchzero as tz
    >>> opt, p = tz.m.RelativeWeightDecay(0.5), torch.tensor([4.0, 0.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([0.0, 1.0]))[0]
    tensor([ 3., -1.])

    Reference: none; made for this library.
    """

    weight_decay: Hyper = nonnegative(0.1)
    ord: Hyper = positive(2)
    norm_input: str = static("update", choices=("update", "grad", "params"))
    metric: float | str = static("mad")
    cautious: bool = static(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("RelativeWeightDecay", "metric", self.metric)

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The parameters, and the gradient where its size counts."""
        return frozenset({"params", "grad"} if self.norm_input == "grad" else {"params"})

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        measured = u if self.norm_input == "update" else var.grad if self.norm_input == "grad" else var.params
        size = tree_metric(measured, self.metric)

        def decayed(x: Tensor, p: Tensor, strength: Hyper, ord: Hyper) -> Tensor:
            more = x + strength * size * decay(p, ord)
            return torch.where(x * p > 0, more, x) if self.cautious else more

        return tree.zipmap(decayed, u, var.params, self.weight_decay, self.ord)
