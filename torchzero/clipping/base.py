"""What clipping modules share: groups of elements, safe ratios, and norms that the whole tree may share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.averages import ema
from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper, child, is_scalar, number, positive, static, within
from torchzero.core.metrics import Dims, check_ord, count, metric, tree_metric
from torchzero.core.module import Locality, Module
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var

TINY = 1e-12  # norms up to this one are not divided by


def check_dim(owner: str, dim: Any) -> None:
    """Refuse what is neither None, nor "global", nor dimensions."""
    dims = (dim,) if isinstance(dim, int) else dim
    known = dim is None or dim == "global" or (isinstance(dims, tuple) and all(type(d) is int for d in dims))
    if not known:
        raise ValueError(
            f'{owner}(dim={dim!r}): must be None (each tensor), "global" (all tensors together), '
            "a dimension or a sequence of dimensions"
        )


def reach(dim: Any) -> Locality:
    """The locality that follows from `dim`."""
    return "global" if dim == "global" else "tensor"


def group_dims(x: Tensor, dim: Any, inverse_dims: bool, min_size: int = 0) -> Dims | None:
    """The dimensions of `x` that one group extends over, or None where `x` is to be left alone.

    Dimensions that `x` does not have are left out, and a 0-d tensor counts as a vector of one element. What has none
    of the dimensions, or groups of fewer than `min_size` elements, is left alone.
    """
    ndim = max(x.ndim, 1)
    if dim is None:
        dims = tuple(range(ndim))
    else:
        given = (dim,) if isinstance(dim, int) else dim
        named = {d % ndim for d in given if -ndim <= d < ndim}
        dims = tuple(d for d in range(ndim) if (d in named) != inverse_dims)
    own = dims[: x.ndim]
    return None if not dims or count(x, own) < max(min_size, 1) else own


def ratio_where(mask: Tensor, a: Tensor | float, b: Tensor) -> Tensor:
    """a / b where `mask` holds and 1 elsewhere; what is not divided has no derivative either."""
    one = torch.ones_like(b)
    return torch.where(mask, torch.where(mask, a, one) / torch.where(mask, b, one), one)


def for_settings(fn: Callable[..., Any], like: Tree, *settings: Hyper) -> Any:
    """`fn` of the settings: one value if they are single numbers, else a tree with a value for each leaf of `like`."""
    if all(is_scalar(s) for s in settings):
        return fn(*settings)
    return tree.zipmap(lambda _, *values: fn(*values), like, *settings)


def of_all(fn: Callable[[Tensor, Any], Tensor], u: Tree, ord: float | str, min_size: int, setting: Hyper) -> Any:
    """`fn` of the norm of all tensors together and a setting; 1 where they have fewer elements than `min_size`."""
    if tree.count(u) < max(min_size, 1):
        return 1.0
    norm = tree_metric(u, ord)
    return for_settings(lambda value: fn(norm, value), u, setting)


def norms(values: Tree, ord: float | str, tensorwise: bool) -> Tree:
    """A 0-d norm for every leaf: its own, or that of all leaves together."""
    if tensorwise:
        return tree.map(lambda x: metric(x, ord), values)
    norm = tree_metric(values, ord)
    return tree.map(lambda x: tree.cast(norm, x), values)


class NormByEMAState(NamedTuple):
    """State of ClipNormByEMA and NormalizeByEMA."""

    t: Tensor  # ()           updates absorbed
    e: Tree  # like params    running mean of u
    e_norm: Tree  # () each   its norm
    factor: Tree  # () each   what the update is multiplied by


class NormByEMA(Transform):
    """Keep the running mean of the update, its norm growing by a bounded factor, and scale the update by it.

    Subclasses give `factor(u_norm, e_norm)`.
    """

    beta: Hyper = within(0, 1, default=0.99)
    ord: float | str = static(2)
    tensorwise: bool = static(True)
    max_ema_growth: Hyper = positive(1.5, optional=True)
    initial: Hyper = number(0.0)
    min_norm: Hyper = positive(1e-6)
    inner: Module | None = child(None)

    def __init__(
        self,
        beta: Hyper = 0.99,
        ord: float | str = 2,
        tensorwise: bool = True,
        max_ema_growth: Hyper = 1.5,
        init: Hyper = 0.0,
        min_norm: Hyper = 1e-6,
        inner: Chainable | None = None,
    ) -> None:
        self._write("beta", beta)
        self._write("ord", ord)
        self._write("tensorwise", tensorwise)
        self._write("max_ema_growth", max_ema_growth)
        self._write("initial", init)
        self._write("min_norm", min_norm)
        self._write("inner", inner)
        self._validate()
        check_ord(type(self).__name__, "ord", ord)

    @property
    def locality(self) -> Locality:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As far as the norm reaches."""
        return "tensor" if self.tensorwise else "global"

    def factor(self, u_norm: Tensor, e_norm: Tensor) -> Tensor:
        """What the update is multiplied by."""
        raise TypeError(f"{type(self).__name__} must implement factor(u_norm, e_norm)")

    def init_tree(self, params: Tree) -> NormByEMAState:
        zeros = tree.map(lambda p: p.new_zeros(()), params)
        e = tree.full_like(params, self.initial)
        return NormByEMAState(tree.counter(params), e, zeros, tree.map(torch.ones_like, zeros))

    def update_tree(self, state: NormByEMAState, u: Tree, var: Var) -> NormByEMAState:
        t = state.t + 1
        e = tree.zipmap(ema, state.e, u, self.beta)
        e_norm = norms(e, self.ord, self.tensorwise)
        if self.max_ema_growth is not None:

            def shrink(norm: Tensor, before: Tensor, growth: Hyper, floor: Hyper) -> Tensor:
                limit = torch.maximum(growth * before, torch.zeros_like(before) + floor)
                return ratio_where((norm > limit) & (t > 1), limit, norm)

            scale = tree.zipmap(shrink, e_norm, state.e_norm, self.max_ema_growth, self.min_norm)
            e, e_norm = tree.mul(e, scale), tree.mul(e_norm, scale)
        u_norm = norms(u, self.ord, self.tensorwise)
        return NormByEMAState(t, e, e_norm, tree.map(self.factor, u_norm, e_norm))

    def apply_tree(self, state: NormByEMAState, u: Tree, var: Var) -> Tree:
        return tree.mul(u, state.factor)
