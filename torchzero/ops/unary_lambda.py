"""UnaryLambda: a function of the list of all tensors."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class UnaryLambda(Transform):
    r"""A function of the direction as a list of tensors.

    $$ [d_1, \dots, d_n] = f([u_1, \dots, u_n]) $$

    Args:
        fn: list of tensors -> as many tensors of the same shapes, in the order of the parameters. It must be pure:
            return new tensors and leave those it is given alone. A named function rather than a lambda can be pickled.

    Raises:
        TypeError: when fn cannot be called.
        ValueError: in a step, when fn returns another number of tensors.

    >>> import torch, torchzero as tz
    >>> module = tz.m.UnaryLambda(lambda us: [u / len(us) for u in us])
    >>> module.step((), tz.Var([torch.zeros(1)] * 2, grad=[torch.ones(1), 2 * torch.ones(1)]))[1].update
    [tensor([0.5000]), tensor([1.])]

    Reference: elementary.
    """

    fn: Callable[[list[Tensor]], Sequence[Tensor]] = static()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.fn):
            raise TypeError(f"UnaryLambda(fn={self.fn!r}): must be a function of a list of tensors")

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        us, spec = tree.flatten(u)
        out = list(self.fn(us))
        if len(out) != len(us):
            raise ValueError(f"UnaryLambda(fn={self.fn!r}): must return {len(us)} tensors, as given; got {len(out)}")
        return tree.unflatten(spec, out)
