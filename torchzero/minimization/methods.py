"""The methods that `minimize` knows by name."""

from collections.abc import Callable

import torch

from torchzero import m
from torchzero.core import tree
from torchzero.core.chain import Chain, Chainable, maybe_chain
from torchzero.core.module import Module
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.tree import Tree

METHODS: dict[str, Callable[[], Module]] = {
    "lbfgs": lambda: Chain(m.LBFGS(), m.StrongWolfe()),
    "bfgs": lambda: Chain(m.BFGS(scale_first=True), m.StrongWolfe()),
    "sr1": lambda: Chain(m.ExactTrustRegion(m.SR1(inverse=False, tol=1e-8), keep_grad=True)),
    "ssbroyden": lambda: Chain(m.SSBroyden(scale_first=True), m.StrongWolfe()),
    "cg": lambda: Chain(m.PolakRibiere(), m.StrongWolfe(c2=0.1, a_init="quadratic-clip", scale_first=True)),
    "newton": lambda: Chain(m.Newton(eigval_fn=torch.abs), m.HagerZhangLineSearch()),
    "newton-cg": lambda: Chain(m.NewtonCG(truncated=True), m.StrongWolfe()),
    "gd": lambda: Chain(m.StrongWolfe(a_init="first-order", scale_first=True)),
    "lm": lambda: Chain(m.ExactTrustRegion(m.GaussNewton(), init=100.0, scale="diagonal", keep_grad=True)),
    "trust-newton": lambda: Chain(m.ExactTrustRegion(m.Newton(), keep_grad=True)),
    "adam": lambda: Chain(m.Adam(), m.LR(1e-2)),
}


def method_named(method: str | Chainable | None, objective: Objective, x0: Tree) -> Module:
    """The module that is meant: by name, as a module, or the one that suits the objective."""
    if method is None:
        method = "lm" if _has_residuals(objective, x0) else "lbfgs"
    if not isinstance(method, str):
        return maybe_chain(method)
    if method not in METHODS:
        raise ValueError(
            f"minimize(method={method!r}): must be one of {', '.join(METHODS)}, a module or a chain of modules"
        )
    return METHODS[method]()


def _has_residuals(objective: Objective, x0: Tree) -> bool:
    if not isinstance(objective, FunctionObjective):
        return False
    return objective.fn(tree.map(lambda x: x.detach(), x0)).ndim > 0
