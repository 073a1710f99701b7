"""implicit: a minimiser that knows how it depends on the data."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from torchzero.core import tree
from torchzero.core.control import is_batched
from torchzero.core.objective import Objective
from torchzero.core.tree import Tree
from torchzero.linalg.minres import minres
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.minimization.bounds import Box

_functorch: Any = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]

DENSE = 512  # elements up to which the Hessian is formed

Product = Callable[[Tensor], Tensor]  # (n,) -> (n,)


def implicit(objective: Objective, x: Tree, value: Tensor, box: Box | None = None) -> tuple[Tree, Tensor]:
    r"""`x`, a minimiser, and the value there, with the derivatives that the implicit function theorem gives them.

    At a minimiser $∇_x f(x, θ) = 0$, so $∂x/∂θ = -H^{-1}\,∂_θ∇_x f$. In a box it is the solution of
    $x = P(x - ∇_x f(x, θ))$: an element that the gradient keeps at a bound moves with the bound, and the others by the
    system that is left of H. Newton steps from a constant copy of x, with a constant Hessian, have this derivative in
    every mode, and where the gradient is zero they move nothing; what they would move because x is not exact is taken
    out again. One step gives first derivatives, a second one second derivatives. Directions without curvature are
    treated as constant.

    Up to `DENSE` elements, under vmap, and for derivatives of derivatives, the Hessian is formed. Beyond, every
    derivative that is asked for is a system for MINRES, from products with the Hessian.
    """
    fixed = tree.map(torch.Tensor.detach, x)
    with torch.enable_grad():
        grad = objective.value_and_grad(fixed)[1]
    vector, unravel = tree.ravel(grad)
    free = torch.ones_like(vector).detach()
    start = fixed
    if box is not None:
        fixed_grad = tree.map(torch.Tensor.detach, grad)
        at_lower, at_upper = box.detached().held(fixed, fixed_grad)
        start = tree.map(_moves_with, fixed, at_lower, box.lower, at_upper, box.upper)
        held = tree.map(lambda x, a, b: (a | b).to(x.dtype), fixed, at_lower, at_upper)
        free = 1 - tree.ravel(held)[0].to(vector.dtype)
    levels = max(map(_levels, [vector, *tree.leaves(start)]))
    if not levels:
        return fixed, value
    if not vector.numel():
        there = objective.value(start)
        return start, value + (there - there.detach())
    dense = vector.numel() <= DENSE or is_batched(vector) or levels > 1
    solve = (_dense if dense else _matrix_free)(objective, fixed, free)
    for _ in range(2):
        vector = tree.ravel(objective.value_and_grad(start)[1])[0]
        start = tree.sub(start, unravel(solve(free * (vector - vector.detach()))))
    there = objective.value(start)
    return start, value + (there - there.detach())


def _moves_with(x: Tensor, at_lower: Tensor, lower: Tensor, at_upper: Tensor, upper: Tensor) -> Tensor:
    """x, with the derivative of its bound where it is at one."""
    bound = torch.where(at_lower, lower, torch.where(at_upper, upper, x))
    return x + (bound - bound.detach())


def _levels(x: Tensor) -> int:
    """How many derivatives are being taken through `x`, one inside the other, as far as can be seen."""
    count = int(torch.compiler.is_compiling())
    while _functorch.is_functorch_wrapped_tensor(x):
        count += _functorch.is_gradtrackingtensor(x)
        x = _functorch.get_unwrapped(x)
    return count + (x.requires_grad or _is_dual(x))


def _is_dual(x: Tensor) -> bool:
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None


def _dense(objective: Objective, x: Tree, free: Tensor) -> Product:
    """H⁻¹ on the free elements, zero on the others, for a constant H."""
    with torch.no_grad():
        hessian = objective.hessian(x).detach()
        reduced = 0.5 * (hessian + hessian.mT) * free * free.unsqueeze(-1)
        eigenvalues, basis = safe_eigh(reduced)
        small = eigenvalues.abs() <= eigenvalues.abs().amax() * len(eigenvalues) * torch.finfo(hessian.dtype).eps
        inverse = torch.where(small, 0.0, 1 / torch.where(small, 1.0, eigenvalues))
    return lambda r: basis @ (inverse * (basis.mT @ r))


def _matrix_free(objective: Objective, x: Tree, free: Tensor) -> Product:
    """The same, from products with H when a derivative is wanted."""
    _, unravel = tree.ravel(x)
    with torch.no_grad():
        _, hvp = objective.linearize(x)

    def product(v: Tensor) -> Tensor:
        with torch.no_grad():
            return free * tree.ravel(hvp(unravel(free * v)))[0].detach()

    return lambda r: free * _Change.apply(free * r, product)


def _solved(product: Product, b: Tensor) -> Tensor:
    if b.requires_grad and torch.is_grad_enabled() and not _functorch.is_functorch_wrapped_tensor(b):
        return _Inverse.apply(b, product)
    if _levels(b) > 1:
        raise RuntimeError(
            f"minimize(differentiate='implicit'): with more than {DENSE} elements the derivative itself can only be "
            "differentiated with respect to the same data, or by backward; use differentiate='unrolled'"
        )
    size = torch.linalg.vector_norm(b)
    unit = b / torch.where(size == 0, torch.ones_like(size), size)
    return size * minres(product, unit, tol=torch.finfo(b.dtype).eps ** 0.75, maxiter=2 * b.numel()).x


class _Inverse(torch.autograd.Function):
    """b -> A⁻¹b for a constant symmetric A."""

    generate_vmap_rule = True

    @staticmethod
    def forward(b: Tensor, product: Product) -> Tensor:
        return _solved(product, b.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.product = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        return _solved(ctx.product, grads[0]), None


class _Change(_Inverse):
    """The same for a b that is zero in value, but has derivatives: nothing is solved before one is asked for."""

    @staticmethod
    def forward(b: Tensor, product: Product) -> Tensor:
        return torch.zeros_like(b)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _solved(ctx.product, tangents[0])
