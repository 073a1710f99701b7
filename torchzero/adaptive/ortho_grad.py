"""OrthoGrad: updates that do not change the size of the parameters."""

from typing import Any

from torch import Tensor

from torchzero.core import tree
from torchzero.core.hyper import Hyper, nonnegative, static
from torchzero.core.safe import safe_div
from torchzero.core.transform import Transform
from torchzero.core.tree import Tree
from torchzero.core.var import Var


class OrthoGrad(Transform):
    r"""Remove from the update its part along the parameters.

    $$ w = u - \frac{⟨θ,u⟩}{⟨θ,θ⟩ + ε} θ,\quad d = w \quad\text{or}\quad \frac{\|u\|}{\|w\|} w $$

    with products and norms over all parameters together; an update along the parameters becomes 0. The authors do
    this for each layer on its own, which is this module in a Partition.

    Args:
        eps: ε ≥ 0.
        renormalize: give the result the norm of the update.

    Raises:
        ValueError: for a negative ε.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.OrthoGrad(renormalize=False), torch.tensor([2.0, 0.0])
    >>> opt(x, opt.init(x), grad=torch.tensor([1.0, 1.0]))[0]
    tensor([ 2., -1.])

    Reference: Prieto, Barsbey, Mediano & Birdal 2025, section 5, https://arxiv.org/abs/2501.04697
    """

    locality = "global"
    needs = frozenset({"params"})

    eps: Hyper = nonnegative(1e-8)
    renormalize: bool = static(True)

    def apply_tree(self, state: Any, u: Tree, var: Var) -> Tree:
        along, size = tree.dot(var.params, u), tree.dot(var.params, var.params)

        def project(x: Tensor, p: Tensor, eps: Any) -> Tensor:
            return x - safe_div(along, size + eps) * p

        w = tree.zipmap(project, u, var.params, self.eps)
        return tree.scale(safe_div(tree.norm(u), tree.norm(w)), w) if self.renormalize else w
