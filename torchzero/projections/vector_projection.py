"""VectorProjection: all parameters as one vector."""

import torch

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.tree import Tree
from torchzero.projections.base import ProjectionBase


class VectorProjection(ProjectionBase):
    r"""Run modules on all parameters concatenated into one vector.

    $$ P(x) = (\mathrm{ravel}\,x_1, …, \mathrm{ravel}\,x_k),\quad U = P^{-1} = P^T $$

    What is per tensor outside is over everything inside. The vector has the promoted dtype of the parameters.

    Args:
        modules: module or sequence of modules, run on one tensor of shape (n,).
        project_update: hand them the update; otherwise they start from the gradient.
        project_params: hand them the parameters, and let them evaluate the objective.
        project_grad: hand them a gradient that is known already.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.VectorProjection(tz.m.Adam())
    >>> opt.init([torch.zeros(2, 3), torch.zeros(())]).m.shape
    torch.Size([7])

    Reference: Nocedal & Wright 2006, Numerical optimization, chapter 2 (the variables as one vector).
    """

    locality = "global"
    whole = True

    project_params: bool = static(True)
    project_grad: bool = static(True)

    def project(self, x: Tree, params: Tree) -> Tree:
        return tree.ravel(x)[0]

    def unproject(self, z: Tree, params: Tree) -> Tree:
        leaves, spec = tree.flatten(params)
        parts = torch.split(z, [p.numel() for p in leaves]) if leaves else ()
        return tree.unflatten(spec, [tree.cast(x.reshape(p.shape), p) for x, p in zip(parts, leaves, strict=True)])
