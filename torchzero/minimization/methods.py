"""The methods that `minimize` knows by name."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero import m
from torchzero.core import tree
from torchzero.core.chain import Chain, Chainable, maybe_chain
from torchzero.core.module import Module
from torchzero.core.objective import FunctionObjective, Objective, one_number
from torchzero.core.tree import Tree
from torchzero.minimization.bounds import Box, has_own_bounds, inside, keeps_bounds


def _lbfgsb() -> Module:
    return Chain(m.LBFGSB(ptol_restart=True), m.StrongWolfe(fallback=True))


METHODS: dict[str, Callable[[], Module]] = {
    "lbfgs": lambda: Chain(m.LBFGS(), m.StrongWolfe()),
    "lbfgsb": _lbfgsb,
    "bfgs": lambda: Chain(m.BFGS(scale_first=True), m.StrongWolfe()),
    "sr1": lambda: Chain(m.ExactTrustRegion(m.SR1(inverse=False, tol=1e-8), keep_grad=True)),
    "ssbroyden": lambda: Chain(m.SSBroyden(scale_first=True), m.StrongWolfe()),
    "cg": lambda: Chain(m.PolakRibiere(), m.StrongWolfe(c2=0.1, a_init="quadratic-clip", scale_first=True)),
    "newton": lambda: Chain(m.Newton(eigval_fn=torch.abs), m.HagerZhangLineSearch()),
    "newton-cg": lambda: Chain(m.NewtonCG(tol=0.0, truncated=True), m.StrongWolfe()),
    "gd": lambda: Chain(m.StrongWolfe(a_init="first-order", scale_first=True)),
    "lm": lambda: Chain(m.ExactTrustRegion(m.GaussNewton(), init=100.0, scale="diagonal", keep_grad=True, cautious=3)),
    "trust-newton": lambda: Chain(m.ExactTrustRegion(m.Newton(), keep_grad=True)),
    "adam": lambda: Chain(m.Adam(), m.LR(1e-2)),
    "nelder-mead": lambda: m.NelderMead(),
    "cmaes": lambda: m.CMAES(seed=0),
    "xnes": lambda: m.XNES(seed=0),
    "snes": lambda: m.SNES(seed=0),
    "pgpe": lambda: m.PGPE(seed=0),
}

# What a name stands for when there are bounds; the others are refused.
WITH_BOUNDS: dict[str, Callable[[], Module]] = {
    "lbfgsb": _lbfgsb,
    "lbfgs": _lbfgsb,
    "gd": lambda: Chain(m.WithinBounds(), m.StrongWolfe(a_init="first-order")),
    "adam": METHODS["adam"],
}


def method_named(method: str | Chainable, box: Box | None = None) -> Module:
    """The module that is meant, by name or as a module, told of the box."""
    if not isinstance(method, str):
        return _checked(maybe_chain(method), box)
    if method not in METHODS:
        raise ValueError(
            f"minimize(method={method!r}): must be one of {', '.join(METHODS)}, a module or a chain of modules"
        )
    if box is None:
        return METHODS[method]()
    if method not in WITH_BOUNDS:
        raise ValueError(
            f"minimize(method={method!r}, bounds=...): does not support bounds; use one of {', '.join(WITH_BOUNDS)}"
        )
    return inside(WITH_BOUNDS[method](), box)


def _checked(module: Module, box: Box | None) -> Module:
    if has_own_bounds(module):
        raise ValueError(
            f"minimize(method={module!r}): has bounds of its own, which minimize cannot see; give them as bounds=... "
            "and leave them out here"
        )
    if box is None:
        return module
    if not keeps_bounds(module):
        raise ValueError(
            f"minimize(method={module!r}, bounds=...): does not support bounds; use one of {', '.join(WITH_BOUNDS)}, "
            "a chain with LBFGSB or WithinBounds, or one of elementwise modules"
        )
    return inside(module, box)


def has_residuals(objective: Objective, x0: Tree) -> bool:
    """Whether the objective is least squares: evaluates it once."""
    if not isinstance(objective, FunctionObjective):
        return False
    out = objective.fn(tree.map(torch.Tensor.detach, x0))
    one_number(out)
    return out.ndim > 0


def only_residuals(fn: Callable[[Any], Tensor]) -> Callable[[Any], Tensor]:
    """The function of a least-squares problem, which refuses to be one number."""

    def checked(params: Tree) -> Tensor:
        out = fn(params)
        if isinstance(out, Tensor) and out.ndim == 0:
            raise ValueError(
                'minimize(method="lm"): the function returns one number, and this method needs the residuals; return '
                'them as a vector r, for the loss ½‖r‖², or use another method, such as "bfgs"'
            )
        return out

    return checked
