"""Partition: an optimizer for each part of the parameters."""

from collections.abc import Mapping
from typing import Any

from torchzero.core.chain import Chain, Chainable, maybe_chain
from torchzero.core.hyper import child, children, static
from torchzero.core.module import Module
from torchzero.misc.base import Filter, Routed, as_filter


class Partition(Routed):
    r"""Give every parameter to the first of several optimizers whose filter wants it.

    $$ d_i = \mathrm{modules}_{k(i)}(u)_i,\quad k(i) = \min\{k : \mathrm{filter}_k(\mathrm{path}_i, θ_i)\} $$

    A child sees the leaves of its part and nothing else, in the direction, the parameters, the gradient and the
    objective (a function of its part, the others fixed at x0): a norm or a line search in one part knows nothing of
    the other parts.

    Who is whose depends on names, shapes and dtypes alone. A filter is one of

    - a function of (path, tensor), such as `lambda path, x: x.ndim == 2 and "head" not in path`;
    - a function of the tensor, such as `lambda x: x.ndim == 2`;
    - a pattern for the dotted path, such as `"encoder.*"` or `"*.bias"`;
    - a tree of bools that fits the parameters or the top of them, such as `{"encoder": True, "head": False}`.

    Args:
        parts: name of the part -> (filter, module or sequence of modules), the first match wins. With None for the
            modules the direction of that part stays as it is.
        rest: module or modules for the parameters that no filter wants; None leaves their direction as it is.

    Raises:
        TypeError: for a filter that is none of the above, or that returns a tensor.
        ValueError: for a part called "rest".

    >>> import torch, torchzero as tz
    >>> opt = tz.m.Partition({"matrices": (lambda path, x: x.ndim == 2, tz.m.LR(0.5))}, rest=tz.m.LR(0.25))
    >>> params = {"w": torch.ones(1, 2), "b": torch.ones(2)}
    >>> opt(params, opt.init(params), lambda p: p["w"].sum() + p["b"].sum())[0]
    {'w': tensor([[0.5000, 0.5000]]), 'b': tensor([0.7500, 0.7500])}

    Reference: as optax.partition, by functions instead of a tree of labels,
    https://optax.readthedocs.io/en/latest/api/combining_optimizers.html
    """

    names: tuple[str, ...] = static()
    filters: tuple[Any, ...] = static()
    links: tuple[Any, ...] = children()
    rest: Module | None = child(default=None)

    def __init__(self, parts: Mapping[str, tuple[Filter, Chainable | None]], rest: Chainable | None = None) -> None:
        if not isinstance(parts, Mapping):
            raise TypeError(f"Partition(parts={parts!r}): must be a dict from the name of a part to (filter, modules)")
        for name, part in parts.items():
            if not (isinstance(part, tuple | list) and len(part) == 2):
                raise TypeError(f"Partition(parts[{name!r}]={part!r}): must be a pair (filter, modules)")
        if "rest" in parts:
            raise ValueError("Partition(parts['rest']): give the remaining parameters their modules by rest=...")
        self._write("names", tuple(parts))
        self._write("filters", tuple(as_filter(f, "Partition", f"parts[{n!r}]") for n, (f, _) in parts.items()))
        self._write("links", tuple(Chain() if m is None else maybe_chain(m) for _, m in parts.values()))
        self._write("rest", rest)
        self._validate()

    def routes(self) -> list[tuple[str, Any, Module | None]]:
        named = list(zip(self.names, self.filters, self.links, strict=True))
        return [*named, ("rest", True, self.rest)]

    def child_state(self, state: Any, name: str) -> Any:
        keys = {f"links[{i}]": key for i, key in enumerate(self.names)}
        return state[keys.get(name, name)]

    def __repr__(self) -> str:
        routes = zip(self.names, self.filters, self.links, strict=True)
        parts = "{" + ", ".join(f"{name!r}: ({wanted!r}, {module!r})" for name, wanted, module in routes) + "}"
        return f"Partition({parts})" if self.rest is None else f"Partition({parts}, rest={self.rest!r})"
