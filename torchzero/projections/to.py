"""To: another dtype or device for some modules."""

from typing import Any

import torch

from torchzero.core import tree
from torchzero.core.hyper import static
from torchzero.core.tree import Tree
from torchzero.projections.projection_base import ProjectionBase


class To(ProjectionBase):
    r"""Run modules in another dtype or on another device.

    $$ P(x) = \mathrm{cast}(x),\quad U(z) = \mathrm{cast}(z)\text{ to the parameter's own dtype and device} $$

    The states of the modules are kept in that dtype, on that device. The objective is evaluated at the parameters'
    own.

    Args:
        modules: module or sequence of modules.
        dtype: what to compute in; None keeps each tensor's own.
        device: where to compute; None keeps each tensor's own.

    Raises:
        TypeError: when `dtype` is no dtype.

    >>> import torch, torchzero as tz
    >>> opt = tz.m.To(tz.m.Adam(), torch.float64)
    >>> opt.init(torch.zeros(2)).m
    tensor([0., 0.], dtype=torch.float64)

    Reference: Micikevicius et al. 2018, Mixed precision training, section 3.1, https://arxiv.org/abs/1710.03740
    """

    locality = "elementwise"

    project_params: bool = static(True)
    project_grad: bool = static(True)
    dtype: torch.dtype | None = static(None)
    device: torch.device | str | None = static(None)

    def __init__(self, modules: Any, dtype: torch.dtype | None, device: torch.device | str | None = None) -> None:
        if not isinstance(dtype, torch.dtype | None):
            raise TypeError(f"To(dtype={dtype!r}): must be a torch.dtype or None; for a device write device={dtype!r}")
        self._write("modules", modules)
        self._write("project_update", True)
        self._write("project_params", True)
        self._write("project_grad", True)
        self._write("dtype", dtype)
        self._write("device", device)
        self._validate()

    def project(self, x: Tree, params: Tree) -> Tree:
        return tree.map(lambda t: t.to(device=self.device or t.device, dtype=self.dtype or t.dtype), x)

    def unproject(self, z: Tree, params: Tree) -> Tree:
        return tree.map(lambda t, p: t.to(device=p.device, dtype=p.dtype), z, params)
