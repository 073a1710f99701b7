"""GraftToGrad: the update with the size of the gradient."""

from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import Grafting


class GraftToGrad(Grafting):
    r"""Give the update the size of the gradient.

    $$ d = u\,\frac{‖∇f‖}{\max(‖u‖, ε)} $$

    Args:
        tensorwise: one size for every tensor; otherwise one for all of them together.
        ord: order of the norm, in [0, inf], or the name of a metric such as "mad" or "std".
        eps: ε > 0.

    Raises:
        ValueError: for ε ≤ 0 or an unknown metric.

    >>> import torch, torchzero as tz
    >>> opt = tz.Chain(tz.m.LR(100.0), tz.m.GraftToGrad())
    >>> opt(torch.zeros(2), opt.init(torch.zeros(2)), grad=torch.tensor([3.0, 4.0]))[0]
    tensor([-3., -4.])

    Reference: Agarwal, Anil, Hazan, Koren & Zhang 2020, https://arxiv.org/abs/2002.11803
    """

    needs = frozenset({"grad"})

    def pair(self, u: Tree, var: Var) -> tuple[Tree, Tree]:
        return u, var.grad
