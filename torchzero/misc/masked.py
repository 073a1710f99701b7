"""Masked: a module for some of the parameters only."""

from typing import Any

from torchzero.core.chain import Chainable
from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.misc.base import Filter, Routed, as_filter


class Masked(Routed):
    r"""Apply a module where a mask holds, and leave the other parameters' direction as it is.

    $$ d_i = \begin{cases} \mathrm{module}(u)_i & \text{mask}(θ_i) \\ u_i & \text{otherwise} \end{cases} $$

    So `Masked(WeightDecay(0.1), lambda x: x.ndim >= 2)` decays matrices only. `Partition` describes masks and what the
    child sees; to freeze parameters set their direction to zero, or give them no gradient.

    Args:
        module: module or sequence of modules.
        mask: a function of the tensor or of (path, tensor), a pattern for the path, or a tree of bools.

    Raises:
        TypeError: for a mask that is none of the above, or that returns a tensor.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Masked(tz.m.LR(0.5), {"w": True, "b": False})
    >>> params = {"w": torch.ones(1, 2), "b": torch.ones(2)}
    >>> opt(params, opt.init(params), lambda p: p["w"].sum() + p["b"].sum())[0]
    {'w': tensor([[0.5000, 0.5000]]), 'b': tensor([0., 0.])}

    Reference: as optax.masked, https://optax.readthedocs.io/en/latest/api/transformations.html
    """

    module: Module = child()
    mask: Any = static()

    def __init__(self, module: Chainable, mask: Filter) -> None:
        self._write("module", module)
        self._write("mask", as_filter(mask, "Masked", "mask"))
        self._validate()

    def routes(self) -> list[tuple[str, Any, Module | None]]:
        return [("module", self.mask, self.module)]

    def child_state(self, state: Any, name: str) -> Any:
        return state[name]
