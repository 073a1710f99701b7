"""ExactTrustRegion: the quadratic model is minimised in a ball, exactly, or in an ellipsoid that fits its scale."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.control import while_loop
from torchzero.core.hyper import Hyper, integer, is_number, static
from torchzero.core.safe import safe_div, safe_norm, safe_sqrt
from torchzero.core.var import Var
from torchzero.linalg.operators import Operator
from torchzero.linalg.spectrum import Spectrum, spectrum
from torchzero.step_size.base import single
from torchzero.trust_region.base import Region, Rules, TrustRegionBase

SCALES = ("identity", "diagonal")


class Prepared(NamedTuple):
    """What all attempts have in common."""

    spectrum: Spectrum  # of D⁻¹BD⁻¹
    values: Tensor  # (k + 1,)   its eigenvalues, zero where they are rounding errors; the last is all others
    weights: Tensor  # (k + 1,)  D⁻¹u in the basis of its eigenvectors, and the size of the rest
    other: Tensor  # (n,)        the rest


class ExactTrustRegion(TrustRegionBase):
    r"""Minimise the quadratic model where it is trusted: the whole problem of the region, not a step towards it.

    $$ d = \arg\min_{‖Dd‖ ≤ Δ} -u^Td + ½\,d^TBd = (B + σD^2)^{-1}u,\quad σ ≥ 0,\quad B + σD^2 ⪰ 0 $$

    σ is zero where Newton's step lies inside and B is positive definite, and else the root of ‖Dd(σ)‖ = Δ, found from
    the eigenvalues. With `scale="identity"` D = I. With "diagonal" (Moré)
    $D_i = \max_{s ≤ t} \sqrt{|B_{ii}(θ_s)|}$, 1 while that is zero, so that the iterates do not depend on the units of
    the parameters; the first Δ is then `init` times ‖Dθ‖ (where that is zero, `init`). The first `cautious` steps are
    taken only if ρ > rho_good, and Δ shrinks where they are not: a first Δ that is far too long then finds its size
    before a step into the blue is taken, which may lower the loss on the way to a minimum far away. Over
    GaussNewton this is the method of Levenberg and Marquardt in Moré's form, over Newton the one of Moré and Sorensen.
    See `TrustRegionBase` for the rules of Δ.

    Args:
        hess_module: module that models the curvature.
        eta: least ratio of a step that is taken.
        nplus: growth of Δ, ≥ 1.
        nminus: shrinkage of Δ, in (0, 1).
        rho_good: ratio above which Δ grows.
        rho_bad: ratio below which Δ shrinks.
        init: first Δ > 0, see above. The field is called `initial`, as `init` is the function that makes states.
        max_attempts: most trials a step.
        radius_strategy: "default", or "fixed" for a Δ that stays and one trial, taken unless it is not finite.
        scale: "identity" or "diagonal".
        update_freq: steps between two updates of the curvature, a whole number ≥ 1.
        inner: module that makes the direction which is solved for.
        keep_grad: evaluate the gradient with every trial, so that nobody has to after the step.
        cautious: how many first steps must be as good as those that make Δ grow, a whole number ≥ 0.

    Raises:
        ValueError: for a number outside its range.
        TypeError: if `hess_module` models no curvature.

    >>> import torch, torchzero as tz
    >>> opt, x = tz.m.ExactTrustRegion(tz.m.Newton()), torch.tensor([3.0, 0.0])
    >>> opt(x, opt.init(x), lambda x: (x**2).sum())[0]
    tensor([2., 0.])

    Reference: Moré 1978, https://doi.org/10.1007/BFb0067700; Moré & Sorensen 1983, https://doi.org/10.1137/0904038;
    Nocedal & Wright 2006, Numerical optimization, algorithm 4.1 and sections 4.3 and 10.3
    """

    scale: str = static("identity", choices=SCALES)
    cautious: Hyper = integer(0, 0)

    def __init__(
        self,
        hess_module: Chainable,
        eta: Hyper = 1e-4,
        nplus: Hyper = 2.0,
        nminus: Hyper = 0.25,
        rho_good: Hyper = 0.75,
        rho_bad: Hyper = 0.25,
        init: Hyper = 1.0,
        max_attempts: Hyper = 10,
        radius_strategy: str = "default",
        scale: str = "identity",
        update_freq: Hyper = 1,
        inner: Chainable | None = None,
        keep_grad: bool = False,
        cautious: Hyper = 0,
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
            scale=scale,
            update_freq=update_freq,
            inner=inner,
            keep_grad=keep_grad,
            cautious=cautious,
        )

    def start(self, x: Tensor) -> Region:
        region = super().start(x)
        return region if self.scale == "identity" else region._replace(scale=torch.zeros_like(x))

    def rules(self, like: Tensor, t: Tensor) -> Rules:
        rules = super().rules(like, t)
        (cautious,) = single(self, "cautious")
        if is_number(cautious) and cautious == 0:
            return rules
        early = t < cautious
        eta, bad = (torch.where(early, torch.maximum(x, rules.rho_good), x) for x in (rules.eta, rules.rho_bad))
        return rules._replace(eta=eta, rho_bad=bad)

    def scaled(self, own: Region, B: Operator, var: Var) -> tuple[Region, Tensor | tuple[()], Tensor]:
        own, _, first = super().scaled(own, B, var)
        if not isinstance(own.scale, Tensor):
            return own, (), first
        scale = torch.maximum(own.scale, safe_sqrt(B.diagonal().abs()))
        D = torch.where(scale > 0, scale, torch.ones_like(scale))
        size = safe_norm(D * tree.ravel(var.params)[0].to(D.dtype))
        first = first * torch.where(size > 0, size, torch.ones_like(size))
        return own._replace(scale=scale, radius=torch.where(own.t == 0, first, own.radius)), D, first

    def prepare(self, B: Operator, u: Tensor, f0: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[Prepared, int]:
        parts = spectrum(B)
        other = parts.leftover(u)
        # One more entry stands for everything outside of the eigenvectors.
        values = torch.cat([parts.values, parts.rest.unsqueeze(0)])
        weights = torch.cat([parts.coefficients(u), safe_norm(other).unsqueeze(0)])
        noise = len(u) * torch.finfo(u.dtype).eps
        flat = values.abs() <= noise * values.abs().max()
        values = torch.where(flat, torch.zeros_like(values), values)
        weights = torch.where(flat & (weights.abs() <= noise * safe_norm(u)), torch.zeros_like(weights), weights)
        return Prepared(parts, values, weights, other), 0

    def subproblem(self, B: Operator, u: Tensor, radius: Tensor, prepared: Prepared) -> Tensor:
        parts, values, weights, other = prepared
        shift, d = minimise_in_ball(values, weights, radius)
        return parts.combine(d[:-1]) + safe_div(other, (values[-1] + shift).expand_as(other))


class Bracket(NamedTuple):
    """Where the search for the shift stands."""

    k: Tensor  # () int64
    low: Tensor  # ()
    high: Tensor  # ()
    shift: Tensor  # ()
    done: Tensor  # () bool


def minimise_in_ball(values: Tensor, weights: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    r"""The global minimum of $-w^Td + ½\,d^T\mathrm{diag}(λ)\,d$ over ‖d‖ ≤ Δ.

    The shift σ is zero, or the root of $φ(σ) = 1/‖d(σ)‖ - 1/Δ$, increasing and concave for σ > max(0, -λ_min), on which
    Newton's method converges from the left at once. The derivative of the result is that of the root, not of the
    search. Where w is zero wherever λ is smallest (the hard case) the step is completed along such an eigenvector. A
    zero λ with a zero w is no obstacle to σ = 0.

    Args:
        values: (k,) λ.
        weights: (k,) w.
        radius: () Δ > 0.

    Returns:
        σ ≥ 0 and d (k,).

    >>> minimise_in_ball(torch.tensor([2.0, 1.0]), torch.tensor([8.0, 0.0]), torch.tensor(1.0))
    (tensor(6.), tensor([1., 0.]))
    """
    rounding = torch.finfo(values.dtype).eps

    def slopes(at: Tensor, values: Tensor, weights: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        d = safe_div(weights, values + at)
        size = safe_norm(d)
        return safe_div(torch.ones_like(size), size) - 1 / radius, safe_div(safe_div(d * d, values + at).sum(), size**3)

    v, w, delta = tree.own((values.detach(), weights.detach(), radius.detach()))
    least, size = v.min(), safe_norm(w)
    low = (-least).clamp_min(0)
    # At the pole: what is left of w there, and the step made by everything else.
    near = v + low <= 8 * rounding * v.abs().max()
    far = torch.where(near, torch.zeros_like(v), w / torch.where(near, torch.ones_like(v), v + low))
    loose = safe_norm(torch.where(near, w, torch.zeros_like(w))) <= 8 * rounding * size
    newton = torch.where(least > 0, safe_norm(safe_div(w, v)), safe_norm(far))
    inside = (newton <= delta) & ((least > 0) | ((least == 0) & loose))
    hard = ~inside & loose & (least < 0) & (safe_norm(far) <= delta)

    # |wᵢ|/(λᵢ + σ) ≤ ‖d‖ ≤ ‖w‖/(λ_min + σ), so the search begins where ‖d‖ is between Δ and √k·Δ
    floor = torch.maximum(low, (w.abs() / delta - v).max())
    high = torch.maximum(size / delta - least, low)

    def body(at: Bracket) -> Bracket:
        phi, rise = slopes(at.shift, v, w, delta)
        above = phi > 0
        lo, hi = torch.where(above, at.low, at.shift), torch.where(above, at.shift, at.high)
        new = torch.minimum(at.shift - safe_div(phi, rise), hi)
        new = torch.where(new > lo, new, (lo + hi) / 2)
        # Newton's method squares what is left of the distance to the pole, and the corrections below go on from here.
        close = ((new - at.shift).abs() <= 1e-4 * (new + least)) | (phi.abs() * delta <= 8 * rounding)
        return Bracket(at.k + 1, lo, hi, new, close)

    k = torch.zeros((), dtype=torch.int64, device=v.device)
    start = Bracket(k, floor, high, torch.where((floor > low) | (least > 0), floor, high), inside | hard)
    shift = while_loop(lambda at: ~at.done & (at.k < 100), body, start).shift

    def correct(shift: Tensor, values: Tensor, weights: Tensor, radius: Tensor) -> Tensor:
        phi, rise = slopes(shift, values, weights, radius)
        new = shift - safe_div(phi, rise)
        return torch.where(new > low, new, shift)

    # The last of Newton's corrections makes the derivative that of the root.
    shift = correct(correct(shift, v, w, delta), values, weights, radius)
    shift = torch.where(inside, torch.zeros_like(shift), torch.where(hard, low, shift))
    d = safe_div(weights, values + shift)
    rest = torch.where(near, torch.zeros_like(d), safe_div(weights, values + low))
    missing = safe_sqrt((radius * radius - (rest * rest).sum()).clamp_min(0))
    first = near & (near.to(torch.int64).cumsum(0) == 1)
    sign = torch.where(weights < 0, -1.0, 1.0).to(d.dtype)
    pole = rest + torch.where(first, missing * sign, torch.zeros_like(d))
    d = torch.where(hard, pole, d)
    return shift, torch.where(inside & near & (least <= 0), torch.zeros_like(d), d)
