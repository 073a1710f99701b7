"""Split: one optimizer for the parameters that pass a filter, another for those that do not."""

from typing import Any

from torchzero.core.chain import Chainable
from torchzero.core.hyper import child, static
from torchzero.core.module import Module
from torchzero.misc.base import Filter, Routed, as_filter


class Split(Routed):
    r"""Send the parameters that pass a filter one way, and the others another way.

    $$ d_i = \begin{cases} \mathrm{true}(u)_i & \text{filter}(θ_i) \\
       \mathrm{false}(u)_i & \text{otherwise} \end{cases} $$

    The way of two parts; `Partition` has any number of them, and describes filters and what a child sees.

    Args:
        filter: a function of the tensor or of (path, tensor), a pattern for the path, or a tree of bools.
        true: module or sequence of modules for the parameters that pass; None leaves their direction as it is.
        false: the same for the others.

    Raises:
        TypeError: for a filter that is none of the above, or that returns a tensor.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Split(lambda x: x.ndim == 2, tz.m.LR(0.5), tz.m.LR(0.25))
    >>> params = {"w": torch.ones(1, 2), "b": torch.ones(2)}
    >>> opt(params, opt.init(params), lambda p: p["w"].sum() + p["b"].sum())[0]
    {'w': tensor([[0.5000, 0.5000]]), 'b': tensor([0.7500, 0.7500])}

    Reference: as `Partition`.
    """

    filter: Any = static()
    true: Module | None = child(default=None)
    false: Module | None = child(default=None)

    def __init__(self, filter: Filter, true: Chainable | None = None, false: Chainable | None = None) -> None:
        self._write("filter", as_filter(filter, "Split", "filter"))
        self._write("true", true)
        self._write("false", false)
        self._validate()

    def routes(self) -> list[tuple[str, Any, Module | None]]:
        return [("true", self.filter, self.true), ("false", True, self.false)]

    def child_state(self, state: Any, name: str) -> Any:
        return state[name]
