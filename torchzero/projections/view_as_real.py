"""ViewAsReal: complex parameters as pairs of real numbers."""

from typing import Any

import torch

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.tree import Tree
from torchzero.projections.projection_base import ProjectionBase


class ViewAsReal(ProjectionBase):
    r"""Run modules on complex tensors seen as real ones with a last dimension (real, imaginary); others unchanged.

    $$ P(z) = (\operatorname{Re} z, \operatorname{Im} z),\quad U = P^{-1} $$

    Complex gradients are torch's: $∂f/∂\operatorname{Re}z + i\,∂f/∂\operatorname{Im}z$, so P of a gradient is the
    gradient with respect to the real view.

    Args:
        modules: module or sequence of modules; a complex tensor of shape s has shape (*s, 2) for them.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.ViewAsReal(tz.m.Adam())
    >>> opt.init(torch.zeros(3, dtype=torch.complex64)).m.shape
    torch.Size([3, 2])

    Reference: Kreutz-Delgado 2009, The complex gradient operator and the CR-calculus, https://arxiv.org/abs/0906.4835
    """

    locality = "elementwise"

    project_params: bool = static(True)
    project_grad: bool = static(True)

    def __init__(self, modules: Any) -> None:
        self._write("modules", modules)
        self._write("project_update", True)
        self._write("project_params", True)
        self._write("project_grad", True)
        self._validate()

    def project(self, x: Tree, params: Tree) -> Tree:
        return tree.map(lambda t: torch.view_as_real(t.resolve_conj()) if t.is_complex() else t, x)

    def unproject(self, z: Tree, params: Tree) -> Tree:
        return tree.map(lambda t, p: torch.view_as_complex(t.contiguous()) if p.is_complex() else t, z, params)
