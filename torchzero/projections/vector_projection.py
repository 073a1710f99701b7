"""VectorProjection: all parameters as one vector."""

import dataclasses
from typing import Any

import torch

from torchzero.core import tree
from torchzero.core.hyper import is_scalar, static
from torchzero.core.module import Module
from torchzero.core.schedule import Schedule
from torchzero.core.tree import Tree
from torchzero.projections.projection_base import ProjectionBase


class VectorProjection(ProjectionBase):
    r"""Run modules on all parameters concatenated into one vector.

    $$ P(x) = (\mathrm{ravel}\,x_1, …, \mathrm{ravel}\,x_k),\quad U = P^{-1} = P^T $$

    What is per tensor outside is over everything inside. The vector has the promoted dtype of the parameters. Settings
    that differ between parameters become one number for each element.

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

    def projected_modules(self, params: Tree) -> Module:
        return _elementwise_settings(self.modules, params)

    def project(self, x: Tree, params: Tree) -> Tree:
        return tree.ravel(x)[0]

    def unproject(self, z: Tree, params: Tree) -> Tree:
        leaves, spec = tree.flatten(params)
        parts = torch.split(z, [p.numel() for p in leaves]) if leaves else ()
        return tree.unflatten(spec, [tree.cast(x.reshape(p.shape), p) for x, p in zip(parts, leaves, strict=True)])

    def operator(self, state: Any) -> Any:
        return self.modules.operator(state)  # ravelled, the coordinates are the same


def _elementwise_settings(module: Module, params: Tree) -> Module:
    """`module` with prefix trees of `params` among its settings as vectors; the same object if there are none."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(module):  # pyright: ignore[reportArgumentType]
        value, kind = getattr(module, field.name), field.metadata.get("kind")
        if isinstance(value, Module):
            changes[field.name] = _elementwise_settings(value, params)
        elif kind == "children":
            many = tuple(_elementwise_settings(v, params) if isinstance(v, Module) else v for v in value)
            changes[field.name] = many if any(a is not b for a, b in zip(many, value, strict=True)) else value
        elif kind == "hyper" and not (value is None or is_scalar(value) or isinstance(value, Schedule)):
            changes[field.name] = tree.ravel(tree.full_like(params, value))[0]
    changed = any(v is not getattr(module, k) for k, v in changes.items())
    return module.evolve(**changes) if changed else module
