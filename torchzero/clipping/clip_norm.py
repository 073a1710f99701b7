"""ClipNorm: no update longer than a bound."""

from typing import Any

from torch import Tensor

from torchzero.clipping.base import check_dim, group_dims, of_all, ratio_where, reach
from torchzero.core import tree
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.metrics import check_ord, metric
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


def clip_factor(norm: Tensor, max_norm: Hyper) -> Tensor:
    """min(1, max_norm / norm)."""
    return ratio_where(norm > max_norm, max_norm, norm)


class ClipNorm(Transform):
    r"""Shorten the update where its norm exceeds a bound.

    $$ d = u\,\min\left(1, \frac{c}{\lVert u\rVert}\right) $$

    Args:
        max_norm: c > 0.
        ord: order of the norm, a number in [0, inf], or the name of a metric: mad, std, var, sum, l0 to l4, linf.
        dim: what the norm is taken of: None, each tensor; "global", all tensors together, as
            torch.nn.utils.clip_grad_norm_ does; a dimension or several, each slice along them. Dimensions that a
            tensor does not have are left out, and a tensor that has none of them is left alone; a 0-d tensor counts
            as a vector.
        inverse_dims: take the norm along all dimensions except `dim`.
        min_size: slices (or tensors, or all tensors together) with fewer elements are left alone.

    Raises:
        ValueError: for a bound that is not positive, or an unknown `ord` or `dim`.

    >>> import torch, torchzero as tz
    >>> clip, p = tz.m.ClipNorm(1.0), torch.zeros(2)
    >>> clip(p, clip.init(p), grad=torch.tensor([3.0, -4.0]))[0]
    tensor([-0.6000,  0.8000])

    Reference: Pascanu, Mikolov & Bengio 2013, algorithm 1, https://arxiv.org/abs/1211.5063
    """

    max_norm: Hyper = positive()
    ord: float | str = static(2)
    dim: Any = static(None)
    inverse_dims: bool = static(False)
    min_size: int = static(1, low=0, integer=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("ClipNorm", "ord", self.ord)
        check_dim("ClipNorm", self.dim)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the norm reaches."""
        return reach(self.dim)

    @property
    def scales(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether one norm is that of all tensors."""
        return self.dim == "global"

    def multiplier(self, state: Any, u: Tree, var: Var) -> Any:
        return of_all(clip_factor, u, self.ord, self.min_size, self.max_norm)

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self.scales:
            return super().apply_tree(state, u, var)
        return tree.zipmap(self._clipped, u, self.max_norm)

    def _clipped(self, u: Tensor, max_norm: Hyper) -> Tensor:
        dims = group_dims(u, self.dim, self.inverse_dims, self.min_size)
        if dims is None:
            return u
        return u * clip_factor(metric(u, self.ord, dims, keepdim=True), max_norm)
