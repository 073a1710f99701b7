"""CubicRegularization: the quadratic model plus the cube of the step's length."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.control import while_loop
from torchzero.core.hyper import Hyper, integer, positive, static
from torchzero.core.safe import safe_div, safe_norm, safe_sqrt
from torchzero.linalg.operators import Operator
from torchzero.linalg.spectrum import Spectrum, spectrum
from torchzero.trust_region.base import TrustRegionBase, numbers


class Prepared(NamedTuple):
    """What all attempts have in common."""

    spectrum: Spectrum  # of B
    c: Tensor  # (k,)         u in the basis of its eigenvectors
    other: Tensor  # (n,)     what that leaves of u
    newton: Tensor  # (n,)    B⁻¹u
    lower: Tensor  # () bool   whether Newton's step is to be taken, because it lowers the loss


class Bracket(NamedTuple):
    """Where the search for the shift stands."""

    k: Tensor  # () int64
    low: Tensor  # ()
    high: Tensor  # ()
    shift: Tensor  # ()
    done: Tensor  # () bool


class CubicRegularization(TrustRegionBase):
    r"""Minimise a model whose cubic term bounds the step.

    $$ d = -\arg\min_s\ u^Ts + ½\,s^TBs + \frac{1}{3Δ}‖s‖^3 = (B + σI)^{-1}u,\quad
       σ = \frac{‖d‖}{Δ},\quad σ ≥ -λ_{\min}(B) $$

    σ is the root of a function of the eigenvalues of B; those of limited-memory models come from their pairs. Where B
    is indefinite the global minimum, with a part along the lowest eigenvector in the hard case, is very long as long as
    Δ is large. By default only steps between the Cauchy point's and Newton's length are looked at then: a saddle point
    of the model may be found, which the ratio rejects if it does not lower the loss.

    That default is no step of Nesterov and Polyak's where B is indefinite, and it does not escape from saddle points:
    over Newton() it ends at that of Himmelblau's function, 67.7, from (0.5, 4.5). Their method is indefinite="global",
    which ends at the minimum from there.

    Δ is not a length here: it is multiplied by nplus or nminus whatever ‖d‖ is, and the ratio that decides is that of
    the quadratic model. See `TrustRegionBase` for its rules.

    Args:
        hess_module: module that models the curvature.
        eta: least ratio of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ratio above which Δ grows.
        rho_bad: ratio below which Δ shrinks.
        init: first Δ > 0. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        radius_strategy: "default", or "fixed" for a Δ that stays and one trial, taken unless it is not finite.
        maxiter: most iterations for σ.
        eps: relative accuracy of σ.
        check_decrease: take Newton's step where it lowers the loss; costs an evaluation.
        indefinite: "newton" for steps up to Newton's length where B is indefinite, which may end at a saddle point, or
            "global" for the minimum of the model.
        update_freq: steps between two updates of the curvature, a whole number ≥ 1.
        inner: module that makes the direction which is solved for.
        keep_grad: evaluate the gradient with every trial, so that nobody has to after the step.

    Raises:
        ValueError: for a number outside its range.
        TypeError: if `hess_module` models no curvature.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.CubicRegularization(tz.m.Newton()), torch.tensor([4.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Nesterov & Polyak 2006, https://doi.org/10.1007/s10107-006-0706-8; Cartis, Gould & Toint 2011,
    section 6.1, https://doi.org/10.1007/s10107-009-0286-5
    """

    maxiter: Hyper = integer(1, 100)
    eps: Hyper = positive(1e-8)
    check_decrease: bool = static(False)
    indefinite: str = static("newton", choices=("newton", "global"))

    def __init__(
        self,
        hess_module: Chainable,
        eta: Hyper = 0.0,
        nplus: Hyper = 3.5,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.99,
        rho_bad: Hyper = 1e-4,
        init: Hyper = 1.0,
        max_attempts: Hyper = 10,
        radius_strategy: str = "default",
        maxiter: Hyper = 100,
        eps: Hyper = 1e-8,
        check_decrease: bool = False,
        update_freq: Hyper = 1,
        inner: Chainable | None = None,
        indefinite: str = "newton",
        keep_grad: bool = False,
    ) -> None:
        self._set(
            hess_module=hess_module,
            eta=eta,
            nplus=nplus,
            nminus=nminus,
            rho_good=rho_good,
            rho_bad=rho_bad,
            initial=init,
            max_attempts=max_attempts,
            radius_strategy=radius_strategy,
            maxiter=maxiter,
            eps=eps,
            check_decrease=check_decrease,
            update_freq=update_freq,
            inner=inner,
            indefinite=indefinite,
            keep_grad=keep_grad,
        )

    @property
    def by_length(self) -> bool:
        return False

    def prepare(self, B: Operator, u: Tensor, f0: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Prepared, int]:
        parts = spectrum(B)
        c, other = parts.coefficients(u), parts.leftover(u)
        if not self.check_decrease:
            return Prepared(parts, c, other, torch.zeros_like(u), (u != u).any() & False), 0
        newton = B.solve(u)
        finite = torch.isfinite(newton).all()
        newton = torch.where(finite, newton, torch.zeros_like(u))
        return Prepared(parts, c, other, newton, finite & (value(newton).to(u.dtype) < f0)), 1

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Prepared) -> Tensor:
        parts, c, other, newton, lower = prepared
        eps, most = numbers(self, u, "eps", "maxiter")
        # One more entry stands for everything outside of the eigenvectors.
        values = torch.cat([parts.values, parts.rest.unsqueeze(0)])
        weights = torch.cat([c, safe_norm(other).unsqueeze(0)])
        shift, d = minimise_cubic(values, weights, 1 / radius, eps, most)
        if self.indefinite == "newton":
            other_shift = shift_up_to_newton(values, weights, 1 / radius, eps, most)
            bent = values.min() < 0
            shift = torch.where(bent, other_shift, shift)
            d = torch.where(bent, safe_div(weights, values + shift), d)
        d = parts.combine(d[:-1]) + safe_div(other, (parts.rest + shift).expand_as(other))
        return torch.where(lower, newton, d) if self.check_decrease else d


class Lengths(NamedTuple):
    """Where a bisection stands."""

    k: Tensor  # () int64
    low: Tensor  # ()
    high: Tensor  # ()


def shift_up_to_newton(
    values: Tensor, weights: Tensor, M: Tensor, eps: Tensor | float = 1e-8, most: Tensor | int = 100
) -> Tensor:
    r"""A shift σ = Mr with ‖w/(λ+Mr)‖ = r, for r between the lengths of the Cauchy point and of w/λ.

    By bisection; the length of w/λ if all steps are longer than r, and no shift if that is the shorter of the two.

    >>> shift_up_to_newton(torch.tensor([2.0]), torch.tensor([8.0]), torch.tensor(1.0))
    tensor(2.)
    """

    def length(r: Tensor, values: Tensor, weights: Tensor, M: Tensor) -> Tensor:
        return safe_norm(safe_div(weights, values + M * r))

    size = safe_norm(weights)
    newton = safe_norm(safe_div(weights, values))
    half = safe_div((weights * weights * values).sum(), size * size) / (2 * M)
    cauchy = safe_sqrt(half * half + size / M) - half
    v, w, m = tree.own((values.detach(), weights.detach(), M.detach()))
    exact = torch.as_tensor(eps, dtype=v.dtype, device=v.device).clamp_min(2 * torch.finfo(v.dtype).eps)

    def body(at: Lengths) -> Lengths:
        r = (at.low + at.high) / 2
        short = length(r, v, w, m) > r
        return Lengths(at.k + 1, torch.where(short, r, at.low), torch.where(short, at.high, r))

    k = torch.zeros((), dtype=torch.int64, device=v.device)
    start = Lengths(k, cauchy.detach() + 0.0, newton.detach() + 0.0)
    end = while_loop(lambda at: (at.high - at.low > exact * at.high) & (at.k < most), body, start)
    r = (end.low + end.high) / 2

    def correct(r: Tensor, values: Tensor, weights: Tensor, M: Tensor) -> Tensor:
        s = safe_div(weights, values + M * r)
        norm = safe_norm(s)
        slope = M * safe_div(safe_div(s * s, values + M * r).sum(), norm) + 1
        new = r - safe_div(r - norm, slope)
        return torch.where((new - r).abs() <= 0.1 * r, new, r)

    # Newton's corrections, of which the last makes the derivative that of the root.
    root = correct(correct(correct(r, v, w, m), v, w, m), values, weights, M)
    root = torch.where(end.high >= newton, newton, root)
    return torch.where(newton <= cauchy, torch.zeros_like(root), M * root)


def minimise_cubic(
    values: Tensor, weights: Tensor, M: Tensor, eps: Tensor | float = 1e-8, most: Tensor | int = 100
) -> tuple[Tensor, Tensor]:
    r"""The global minimum of $-w^Td + ½\,d^T\mathrm{diag}(λ)\,d + \frac{M}{3}‖d‖^3$.

    The shift σ is the root of $φ(σ) = 1/‖d(σ)‖ - M/σ$, increasing and concave for σ > max(0, -λ_min). The derivative of
    the result is that of the root, not of the search.

    Args:
        values: (k,) λ.
        weights: (k,) w.
        M: () > 0.
        eps: relative accuracy of σ.
        most: iterations.

    Returns:
        σ = M‖d‖ and d (k,).

    >>> minimise_cubic(torch.tensor([2.0]), torch.tensor([8.0]), torch.tensor(1.0))
    (tensor(2.), tensor([2.]))
    """

    def slopes(at: Tensor, values: Tensor, weights: Tensor, M: Tensor) -> tuple[Tensor, Tensor]:
        d = safe_div(weights, values + at)
        size = safe_norm(d)
        rise = safe_div(safe_div(d * d, values + at).sum(), size**3)
        return safe_div(torch.ones_like(size), size) - safe_div(M, at), rise + safe_div(M, at * at)

    v, w, m = tree.own((values.detach(), weights.detach(), M.detach()))
    rounding = torch.finfo(v.dtype).eps
    least, size = v.min(), safe_norm(w)
    low = (-least).clamp_min(0)
    root = safe_sqrt(least * least + 4 * m * size)
    high = torch.where(least > 0, safe_div(2 * m * size, least + root), (root - least) / 2)
    exact = torch.as_tensor(eps, dtype=v.dtype, device=v.device).clamp_min(2 * rounding)

    def body(at: Bracket) -> Bracket:
        phi, rise = slopes(at.shift, v, w, m)
        above = phi > 0
        lo, hi = torch.where(above, at.low, at.shift), torch.where(above, at.shift, at.high)
        new = at.shift - safe_div(phi, rise)
        new = torch.where((new > lo) & (new < hi), new, (lo + hi) / 2)
        return Bracket(at.k + 1, lo, hi, new, (new - at.shift).abs() <= exact * new)

    k = torch.zeros((), dtype=torch.int64, device=v.device)
    start = Bracket(k, low, high, high + 0.0, low > high)
    shift = while_loop(lambda at: ~at.done & (at.k < most), body, start).shift

    def correct(shift: Tensor, values: Tensor, weights: Tensor, M: Tensor) -> Tensor:
        phi, rise = slopes(shift, values, weights, M)
        new = shift - safe_div(phi, rise)
        return torch.where(new > low, new, shift)

    # The last of Newton's corrections makes the derivative that of the root.
    shift = correct(correct(correct(shift, v, w, m), v, w, m), values, weights, M)
    d = safe_div(weights, values + shift)

    # The hard case: next to the pole there is no room for the root, and the step is completed along the pole.
    near = v + low <= 8 * rounding * v.abs().max()
    outside = near | (low <= 0)
    above = torch.where(outside, torch.ones_like(d), values - values.min())
    far = torch.where(outside, torch.zeros_like(d), weights / above)
    missing = safe_sqrt(((low / M) ** 2 - (far * far).sum()).clamp_min(0))
    along = torch.where(near, weights, torch.zeros_like(weights))
    first = near & (near.to(torch.int64).cumsum(0) == 1)
    along = torch.where((along != 0).any(), along, first.to(along.dtype))
    gap = safe_norm(torch.where(near, w, torch.zeros_like(w)))
    hard = (low > 0) & (missing > 0) & (gap <= 8 * rounding * low * missing)
    pole = far + safe_div(missing, safe_norm(along)) * along
    return torch.where(hard, low, shift), torch.where(hard, pole, d)
