"""Centralize: every update with mean zero."""

from typing import Any

from torch import Tensor

from torchzero.clipping.base import check_dim, group_dims, reach
from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.module import Locality
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class Centralize(Transform):
    r"""Subtract the mean from the update.

    $$ d = u - \bar u $$

    The paper centralizes weights of two and more dimensions, along all dimensions except that of the output:
    `Centralize(dim=0, inverse_dims=True)`.

    Args:
        dim: what the mean is taken of: None, each tensor; "global", all tensors together; a dimension or several,
            each slice along them. Dimensions that a tensor does not have are left out, and a tensor that has none
            of them is left alone; a 0-d tensor counts as a vector.
        inverse_dims: take the mean along all dimensions except `dim`.
        min_size: slices (or tensors, or all tensors together) with fewer elements are left alone. The default
            leaves tensors of one element as they are.

    Raises:
        ValueError: for an unknown `dim`.

    >>> import torch, torchzero as tz
    >>> zero_mean, p = tz.m.Centralize(), torch.zeros(2)
    >>> zero_mean(p, zero_mean.init(p), grad=torch.tensor([3.0, -4.0]))[0]
    tensor([-3.5000,  3.5000])

    Reference: Yong, Huang, Hua & Zhang 2020, equation 1, https://arxiv.org/abs/2004.01461
    """

    dim: Any = static(None)
    inverse_dims: bool = static(False)
    min_size: int = static(2, low=0, integer=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_dim("Centralize", self.dim)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the mean reaches."""
        return reach(self.dim)

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        if self.dim != "global":
            return tree.map(self._centred, u)
        n = tree.count(u)
        if n < max(self.min_size, 1):
            return u
        mean = tree.total(u) / n
        return tree.map(lambda x: x - mean, u)

    def _centred(self, u: Tensor) -> Tensor:
        dims = group_dims(u, self.dim, self.inverse_dims, self.min_size)
        return u if dims is None else u - u.mean(dims, keepdim=True)
