"""clashes: what a chain cannot do because of the order of its modules."""

from collections.abc import Iterator

from torchzero.core.chain import Chain
from torchzero.core.module import Module


def clashes(root: Module) -> Iterator[str]:
    """A sentence, with the remedy, for each module whose needs the modules before it in its chain defeat.

    >>> import torchzero as tz
    >>> for sentence in clashes(tz.Chain(tz.m.ClipNorm(1.0), tz.m.LBFGS())):
    ...     print(sentence)
    LBFGS models curvature by differences of gradients, and ClipNorm before it changes them; put ClipNorm after it
    """
    for chain in root.walk():
        if isinstance(chain, Chain):
            for i, module in enumerate(chain.links):
                yield from _of_link(chain.links[:i], module)


def _of_link(before: tuple[Module, ...], module: Module) -> Iterator[str]:
    changing: list[Module] = []
    for other in before:
        if other.makes_update or other.rewrites_objective:
            changing = []  # what follows starts from this module's gradient
        elif not other.conservative:
            changing.append(other)
    if not changing:
        return
    name, names = type(module).__name__, ", ".join(type(m).__name__ for m in changing)
    if "true_gradient" in module.needs:
        yield (
            f"{name} models curvature by differences of gradients, and {names} before it changes them; "
            f"put {names} after it"
        )
    elif module.makes_update:
        yield f"{name} makes its direction from scratch, so {names} before it is without effect; put {names} after it"
