"""What second-order methods share: Hessians, products with them, and a symmetric matrix that is solved with."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.control import cond
from torchzero.core.hyper import as_scalar, is_number, static
from torchzero.core.objective import FunctionObjective, Objective
from torchzero.core.safe import safe_div, safe_norm
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.linalg.operators import Dense, LowRankShift, Operator
from torchzero.linalg.safe_eigh import safe_eigh
from torchzero.trust_region.base import Solved, Solving, numbers, work_dtype

HVP_METHODS = ("autograd", "batched_autograd", "fd_forward", "fd_central")
HESSIAN_METHODS = (
    "batched_autograd",
    "autograd",
    "func",
    "fd_forward",
    "fd_central",
    "gfd_forward",
    "gfd_central",
    "fd",
)


class Products:
    r"""The Hessian at x0 as a function of vectors.

    With "autograd" one forward pass serves all products ("batched_autograd" is the same). "fd_forward" and
    "fd_central" are differences of gradients,

    $$ Hv ≈ ‖v‖\,\frac{∇f(x + h\hat v) - ∇f(x - h\hat v)}{2h},\quad \hat v = v/‖v‖ $$

    or one-sided ones. H times zero is zero.

    Args:
        var: the step.
        objective: what is differentiated.
        method: one of `HVP_METHODS`.
        h: length of the differences' step.

    >>> import torchzero as tz
    >>> var = tz.Var(torch.ones(2), objective=lambda x: (x**4).sum())
    >>> Products(var, var.objective, "autograd", 1e-3)(torch.tensor([1.0, 2.0]))
    tensor([12., 24.])
    """

    def __init__(self, var: Var, objective: Objective, method: str, h: Any) -> None:
        self.objective, self.params, self.method = objective, var.params, method
        self.exact = method in ("autograd", "batched_autograd")
        vector, self.unravel = tree.ravel(var.params)
        self.dtype = work_dtype(var.params)
        self.x = tree.own(vector).to(self.dtype)
        self.cost = {"fd_forward": 1, "fd_central": 2}.get(method, 0)  # evaluations away from x0
        if self.exact:
            # Inside a compiled loop no graph from outside can be differentiated again.
            compiling = torch.compiler.is_compiling()
            self.times = (lambda v: objective.hvp(self.params, v)) if compiling else objective.linearize(var.params)[1]
        else:
            self.h = as_scalar(h, self.x)
            self.g = self._flat(var.grad) if method == "fd_forward" else self.x

    def _flat(self, values: Tree) -> Tensor:
        return tree.ravel(values)[0].to(self.dtype)

    def _slope(self, x: Tensor) -> Tensor:
        return self._flat(self.objective.value_and_grad(self.unravel(x))[1])

    def __call__(self, v: Tensor) -> Tensor:
        if self.exact:
            return self._flat(self.times(self.unravel(v)))
        size = safe_norm(v)
        step = self.h * safe_div(v, size.expand_as(v))
        if self.method == "fd_forward":
            return size * (self._slope(self.x + step) - self.g) / self.h
        return size * (self._slope(self.x + step) - self._slope(self.x - step)) / (2 * self.h)

    def columns(self, S: Tensor) -> Tensor:
        """The Hessian times every column of S (n, k): (n, k)."""
        if isinstance(self.objective, FunctionObjective) and S.shape[-1]:
            return torch.vmap(self, in_dims=1, out_dims=1)(S)
        return torch.stack([self(S[:, i]) for i in range(S.shape[-1])], 1) if S.shape[-1] else S


class Hessian(NamedTuple):
    """A Hessian, and what it took."""

    H: Tensor  # (n, n)
    evaluations: int  # of the objective, away from x0


def hessian_at(var: Var, objective: Objective, method: str, h: Any) -> Hessian:
    """The Hessian at x0, (n, n), by one of `HESSIAN_METHODS`.

    "batched_autograd", "autograd" and "func" are exact and the same. "gfd_forward" and "gfd_central" (also without the
    g) are differences of gradients along the coordinates; "fd" is made of 2n² + 1 values.
    """
    if method in ("batched_autograd", "autograd", "func"):
        return Hessian(objective.hessian(var.params).to(work_dtype(var.params)), 0)
    if method == "fd":
        return _from_values(var, objective, h)
    products = Products(var, objective, "fd_" + method.rpartition("_")[2], h)
    n = products.x.numel()
    H = products.columns(torch.eye(n, dtype=products.x.dtype, device=products.x.device))
    return Hessian((H + H.mT) / 2, n * products.cost)


def _from_values(var: Var, objective: Objective, h: Any) -> Hessian:
    x, unravel = tree.ravel(var.params)
    x = x.to(work_dtype(var.params))
    h, n = as_scalar(h, x), x.numel()
    eye = torch.eye(n, dtype=x.dtype, device=x.device)

    def f(step: Tensor) -> Tensor:
        return objective.value(unravel(x + h * step)).to(x.dtype)

    f0 = var.loss.to(x.dtype)
    up, down = [f(e) for e in eye], [f(-e) for e in eye]
    rows = [[f0] * n for _ in range(n)]
    for i in range(n):
        rows[i][i] = (up[i] + down[i] - 2 * f0) / (h * h)
        for j in range(i):
            both = f(eye[i] + eye[j]) + f(-eye[i] - eye[j]) - up[i] - up[j] - down[i] - down[j] + 2 * f0
            rows[i][j] = rows[j][i] = both / (2 * h * h)
    H = torch.stack([torch.stack(row) for row in rows]) if n else torch.zeros(0, 0, dtype=x.dtype, device=x.device)
    return Hessian(H, 2 * n + n * (n - 1))


def pseudo_inverse(A: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvectors (n, n) of a symmetric A, and the inverse eigenvalues (n,), 0 where those are zero up to rounding."""
    values, Q = safe_eigh(A)
    size = values.abs()
    floor = torch.finfo(A.dtype).eps * len(A) * size.max() if len(A) else 0.0
    kept = size > floor
    return Q, torch.where(kept, 1 / torch.where(kept, values, torch.ones_like(values)), torch.zeros_like(values))


def least_squares_solve(A: Tensor, b: Tensor) -> Tensor:
    """The shortest of the best solutions of Ax = b for a symmetric A."""
    Q, weights = pseudo_inverse(A)
    return Q @ (weights * (Q.mT @ b))


def inverse_of(A: Tensor, lstsq: bool = False) -> Tensor:
    """The inverse by LU, and where A is singular the pseudo-inverse of its symmetric part; always that with `lstsq`."""

    def pseudo() -> Tensor:
        Q, weights = pseudo_inverse((A + A.mT) / 2)
        return (Q * weights) @ Q.mT

    if lstsq:
        return pseudo()
    inverse, info = torch.linalg.inv_ex(A)
    regular = (info == 0) & (torch.isfinite(inverse).all() | ~torch.isfinite(A).all())
    return cond(regular, lambda: inverse, pseudo)


def solve_symmetric(A: Tensor, b: Tensor, lstsq: bool = False) -> Tensor:
    """A⁻¹b by LU, and where A is singular the least-squares solution; always that with `lstsq`."""
    if lstsq:
        return least_squares_solve(A, b)
    x, info = torch.linalg.solve_ex(A + 0.0, b.unsqueeze(-1))
    x = x.squeeze(-1)
    regular = (info == 0) & (torch.isfinite(x).all() | ~torch.isfinite(A).all())
    return cond(regular, lambda: x, lambda: least_squares_solve((A + A.mT) / 2, b))


class Model(NamedTuple):
    """A symmetric matrix in the form that it is solved with; what is absent is ()."""

    B: Any  # (k, k)   the matrix, or () if it is kept as eigenpairs
    L: Any  # (k,)     eigenvalues, zero where left out
    Q: Any  # (k, k)   eigenvectors, zero where left out
    inverse: Any  # (k, k)


class SymmetricModel:
    """How a module with the fields damping, eigval_fn, eigv_tol, truncate, precompute_inverse and use_lstsq solves.

    With one of eigval_fn, eigv_tol and truncate the matrix is decomposed: eigenvalues λ of A + damping I are mapped to
    φ(λ); those that are not finite, zero, not above eigv_tol · max φ, or not among the `truncate` largest are left out.
    Any other below n · eps · max |φ| in size, which is what rounding makes of zero, counts as of that size.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.spectral = not (module.eigval_fn is None and module.eigv_tol is None and module.truncate is None)
        freq = module.update_freq
        wanted = module.precompute_inverse
        self.invert = not self.spectral and (is_number(freq) and freq >= 10 if wanted is None else wanted)

    def empty(self, k: int, like: Tensor) -> Model:
        """The identity, before anything is known."""
        eye = torch.eye(k, dtype=like.dtype, device=like.device)
        if self.spectral:
            return Model((), torch.ones_like(eye[0]) if k else torch.zeros(0, dtype=like.dtype), eye, ())
        return Model(eye, (), (), eye if self.invert else ())

    def make(self, A: Tensor) -> Model:
        """The model of a matrix (k, k), symmetric unless it is solved with directly."""
        damping, tol = numbers(self.module, A, "damping", "eigv_tol")
        A = A + damping * torch.eye(len(A), dtype=A.dtype, device=A.device)
        if not self.spectral:
            inverse = inverse_of(A, self.module.use_lstsq) if self.invert else ()
            return Model(A, (), (), inverse)
        values, Q = safe_eigh((A + A.mT) / 2)
        if self.module.eigval_fn is not None:
            values = self.module.eigval_fn(values)
        kept = torch.isfinite(values)
        values = torch.where(kept, values, torch.zeros_like(values))
        lowest = torch.full_like(values, -torch.inf)
        if tol is not None and len(values):
            kept = kept & (values > tol * torch.where(kept, values, lowest).max())
        if self.module.truncate is not None:
            (most,) = numbers(self.module, A, "truncate")
            place = torch.where(kept, values, lowest).argsort(descending=True, stable=True).argsort()
            kept = kept & (place < most)
        kept = kept & (values != 0)
        values = torch.where(kept, values, torch.zeros_like(values))
        if len(values):
            # Smaller ones are what rounding makes of zero: no smaller number may be divided by.
            least = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
            values = torch.where(kept & (values.abs() < least), torch.copysign(least, values), values)
        return Model((), values, Q * kept, ())

    def solve(self, model: Model, u: Tensor) -> Tensor:
        """The inverse times u (k,)."""
        if self.spectral:
            return model.Q @ safe_div(model.Q.mT @ u, model.L)
        if self.invert:
            return model.inverse @ u
        return solve_symmetric(model.B, u, self.module.use_lstsq)

    def operator(self, model: Model) -> Operator:
        """The matrix as an operator."""
        if self.spectral:
            return LowRankShift(model.Q, model.L, torch.zeros((), dtype=model.L.dtype, device=model.L.device))
        return Dense(model.B)


class Step(NamedTuple):
    """What a multipoint method may evaluate."""

    gradient: Callable[[Tensor], Tensor]  # (n,) -> (n,)
    hessian: Callable[[Tensor], Tensor]  # (n,) -> (n, n)
    solve: Callable[[Tensor, Tensor], Tensor]  # A (n, n), b (n,) -> A⁻¹b


class HigherOrderMethodBase(Solving):
    """A method that computes the next point from gradients and Hessians at several points.

    The incoming direction is not looked at. A subclass gives `next(x, g, H, step)`, the next point.

    Args:
        lstsq: solve in the sense of least squares, for singular Hessians; where LU fails this is done anyway.
        derivatives_method: one of "batched_autograd", "autograd" and "func", which are the same.

    >>> import torch, torchzero as tz
    >>> class Newton(tz.m.HigherOrderMethodBase):
    ...     points = 0
    ...     def next(self, x, g, H, step):
    ...         return x - step.solve(H, g)
    >>> x = torch.tensor([3.0])
    >>> Newton()(x, Newton().init(x), lambda x: (x**2).sum())[0]
    tensor([0.])
    """

    needs = frozenset({"objective", "grad", "hvp"})
    makes_update = False
    points: ClassVar[int]  # evaluations away from x0: gradients and Hessians

    lstsq: bool = static(False)
    derivatives_method: str = static("batched_autograd", choices=HESSIAN_METHODS[:3])

    def next(self, x: Tensor, g: Tensor, H: Tensor, step: Step) -> Tensor:
        """The next point (n,), from the point x, its gradient and its Hessian."""
        raise TypeError(f"{type(self).__name__} must implement next(x, g, H, step)")

    def solve(self, own: Any, u: Tensor, var: Var) -> Solved:
        objective = var.need_objective(self)
        x, unravel = tree.ravel(var.params)

        def gradient(at: Tensor) -> Tensor:
            return tree.ravel(objective.value_and_grad(unravel(at))[1])[0].to(u.dtype)

        def hessian(at: Tensor) -> Tensor:
            return objective.hessian(unravel(at)).to(u.dtype)

        x = x.to(u.dtype)
        g = tree.ravel(var.grad)[0].to(u.dtype)
        step = Step(gradient, hessian, lambda A, b: solve_symmetric(A, b, self.lstsq))
        return Solved(own, x - self.next(x, g, objective.hessian(var.params).to(u.dtype), step), self.points)
