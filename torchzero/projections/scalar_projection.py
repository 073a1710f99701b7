"""ScalarProjection: every element as a parameter of its own."""

from typing import Any

import torch

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.tree import Tree
from torchzero.projections.projection_base import ProjectionBase


class ScalarProjection(ProjectionBase):
    r"""Run modules on every element as a 0-d tensor.

    $$ P(x_i) = (x_{i,1}, …, x_{i,n_i}),\quad U = P^{-1} = P^T $$

    What is per tensor outside is per element inside. There are as many tensors as elements: for small problems.

    Args:
        modules: module or sequence of modules; where a tensor was they see a tuple of 0-d tensors.
        project_update: hand them the update; otherwise they start from the gradient.
        project_params: hand them the parameters, and let them evaluate the objective.
        project_grad: hand them a gradient that is known already.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.ScalarProjection(tz.m.Adam())
    >>> opt.init([torch.zeros(2)]).m
    [(tensor(0.), tensor(0.))]

    Reference: Nocedal & Wright 2006, Numerical optimization, section 9.3 (the variables one by one).
    """

    locality = "elementwise"

    project_params: bool = static(True)
    project_grad: bool = static(True)

    def project(self, x: Tree, params: Tree) -> Tree:
        return tree.map(lambda t: t.reshape(-1).unbind(), x)

    def unproject(self, z: Tree, params: Tree) -> Tree:
        leaves, spec = tree.flatten(params)
        parts: list[Any] = spec.flatten_up_to(z)
        joined = [torch.stack(x).reshape(p.shape) if x else p for x, p in zip(parts, leaves, strict=True)]
        return tree.unflatten(spec, [tree.cast(x, p) for x, p in zip(joined, leaves, strict=True)])

    def operator(self, state: Any) -> Any:
        return self.modules.operator(state)  # ravelled, the coordinates are the same
