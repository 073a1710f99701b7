"""GraftToParams: the update with the size of the parameters."""

from torchzero.core.hyper import Hyper, positive
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.misc.base import Grafting


class GraftToParams(Grafting):
    r"""Give the update the size of the parameters, as LARS does.

    $$ d = u\,\frac{‖θ‖}{\max(‖u‖, ε)} $$

    Args:
        tensorwise: one size for every tensor; otherwise one for all of them together.
        ord: order of the norm, in [0, inf], or the name of a metric such as "mad" or "std".
        eps: ε > 0.

    Raises:
        ValueError: for ε ≤ 0 or an unknown metric.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.GraftToParams()
    >>> p = torch.tensor([0.0, 10.0])
    >>> opt(p, opt.init(p), grad=torch.tensor([3.0, 4.0]))[0]
    tensor([-6.,  2.])

    Reference: Agarwal, Anil, Hazan, Koren & Zhang 2020, https://arxiv.org/abs/2002.11803
    """

    needs = frozenset({"params"})

    eps: Hyper = positive(default=1e-4)

    def pair(self, u: Tree, var: Var) -> tuple[Tree, Tree]:
        return u, var.params
