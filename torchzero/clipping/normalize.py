"""Normalize: every update equally long."""

from typing import Any

import torch
from torch import Tensor

from torchzero.clipping.base import TINY, check_dim, group_dims, of_all, reach
from torchzero.core import tree
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.metrics import check_ord, metric
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


def normalizer(norm: Tensor, value: Hyper) -> Tensor:
    """value / norm; 1 where the norm is zero, and `value` where it is too small to divide by."""
    one = torch.ones_like(norm)
    return torch.where(norm == 0, one, value / torch.where(norm.abs() > TINY, norm, one))


class Normalize(Transform):
    r"""Scale the update to a given norm.

    $$ d = \frac{c\,u}{\lVert u\rVert} $$

    What has norm zero is left alone, and norms up to 1e-12 count as one.

    Args:
        norm_value: c > 0.
        ord: order of the norm, a number in [0, inf], or the name of a metric: mad, std, var, sum, l0 to l4, linf.
        dim: what the norm is taken of: None, each tensor; "global", all tensors together; a dimension or several,
            each slice along them. Dimensions that a tensor does not have are left out, and a tensor that has none
            of them is left alone; a 0-d tensor counts as a vector.
        inverse_dims: take the norm along all dimensions except `dim`.
        min_size: slices (or tensors, or all tensors together) with fewer elements are left alone.

    Raises:
        ValueError: for a norm that is not positive, or an unknown `ord` or `dim`.

    >>> import torch, torchzero as tz
    >>> unit, p = tz.m.Normalize(), torch.zeros(2)
    >>> unit(p, unit.init(p), grad=torch.tensor([3.0, -4.0]))[0]
    tensor([-0.6000,  0.8000])

    Reference: Cortés 2006, normalized gradient flows, https://doi.org/10.1016/j.automatica.2006.06.015
    """

    norm_value: Hyper = positive(1)
    ord: float | str = static(2)
    dim: Any = static(None)
    inverse_dims: bool = static(False)
    min_size: int = static(1, low=0, integer=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ord("Normalize", "ord", self.ord)
        check_dim("Normalize", self.dim)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the norm reaches."""
        return reach(self.dim)

    @property
    def scales(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether one norm is that of all tensors."""
        return self.dim == "global"

    def multiplier(self, state: Any, u: Tree, var: Var) -> Any:
        return of_all(normalizer, u, self.ord, self.min_size, self.norm_value)

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self.scales:
            return super().apply_tree(state, u, var)
        return tree.zipmap(self._normalized, u, self.norm_value)

    def _normalized(self, u: Tensor, value: Hyper) -> Tensor:
        dims = group_dims(u, self.dim, self.inverse_dims, self.min_size)
        if dims is None:
            return u
        return u * normalizer(metric(u, self.ord, dims, keepdim=True), value)
