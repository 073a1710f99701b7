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
    "bfgs": lambda: Chain(m.BFGS(), m.StrongWolfe()),
    "sr1": lambda: Chain(m.SR1(), m.StrongWolfe()),
    "ssbroyden": lambda: Chain(m.SSBroyden(), m.StrongWolfe()),
    "cg": lambda: Chain(m.PolakRibiere(), m.StrongWolfe(c2=0.1)),
    "newton": lambda: Chain(m.Newton(eigval_fn=torch.abs), m.Backtracking()),
    "newton-cg": lambda: Chain(m.NewtonCG(), m.StrongWolfe()),
    "gd": lambda: Chain(m.StrongWolfe(a_init="first-order")),
    "lm": lambda: Chain(m.LevenbergMarquardt(m.GaussNewton())),
    "trust-newton": lambda: Chain(m.LevenbergMarquardt(m.Newton())),
    "adam": lambda: Chain(m.Adam(), m.LR(1e-2)),
    "nelder-mead": lambda: m.NelderMead(),
    "cmaes": lambda: m.CMAES(seed=0),
    "xnes": lambda: m.XNES(seed=0),
    "snes": lambda: m.SNES(seed=0),
    "pgpe": lambda: m.PGPE(seed=0),
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
