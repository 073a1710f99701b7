"""implicit: a minimiser that knows how it depends on the data."""

import torch

from torchzero.core import tree
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree


def implicit(objective: Objective, x: Tree) -> Tree:
    r"""`x`, a minimiser, with the derivative that the implicit function theorem gives it.

    At a minimiser $∇_x f(x, θ) = 0$, so $∂x/∂θ = -H^{-1}\,∂_θ∇_x f$. One Newton step from a constant copy of x, with a
    constant Hessian, has this derivative in every mode, and where the gradient is zero it moves nothing; what it would
    move because x is not exact is taken out again. Directions without curvature are treated as constant.
    """
    fixed = tree.map(torch.Tensor.detach, x)
    _, grad = objective.value_and_grad(fixed)
    vector, unravel = tree.ravel(grad)
    with torch.no_grad():
        hessian = objective.hessian(fixed).detach()
        eigenvalues, basis = torch.linalg.eigh(0.5 * (hessian + hessian.mT))
        small = eigenvalues.abs() <= eigenvalues.abs().amax() * len(eigenvalues) * torch.finfo(hessian.dtype).eps
        inverse = torch.where(small, 0.0, 1 / torch.where(small, 1.0, eigenvalues))
    move = unravel(basis @ (inverse * (basis.mT @ (vector - vector.detach()))))
    return tree.sub(fixed, move)
