"""DirectionalNewton: the minimum of a parabola along the update, from one slope and one trial."""

from typing import Any

import torch
from torch import Tensor

from torchzero.core.control import cond
from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.var import Var
from torchzero.line_search.base import Found, Line, LineSearch, LineSearchState, log_step


def parabola(line: Line, slope: Tensor, bend: Tensor, max_dist: Any) -> tuple[Tensor, Tensor]:
    """The minimiser -slope / 2 bend of slope a + bend a², and whether it is one, ahead and not too far."""
    convex = bend > 0
    a = -slope / (2 * torch.where(convex, bend, torch.ones_like(bend)))
    usable = convex & torch.isfinite(a) & (a.abs() <= max_dist) & (slope != 0)
    return torch.where(usable, a, torch.ones_like(a)), usable


class DirectionalNewton(LineSearch):
    r"""Step to the minimum of the parabola through φ(0), φ'(0) and φ(α).

    $$ κ = \frac{φ(α) - φ(0) - φ'(0) α}{α^2},\qquad a_t = \frac{-φ'(0)}{2κ} $$

    Where κ ≤ 0, φ'(0) = 0, $|a_t|$ is above `max_dist`, or (if validated) φ is higher at $a_t$ than at α, the step is
    α. The loss may rise, as φ(0) is not compared; where φ is not finite the step is zero.

    Args:
        max_dist: > 0, the longest step size.
        validate_step: evaluate φ at the minimum of the parabola, and step there only if it is not above φ(α).
        alpha: α > 0, the trial.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.DirectionalNewton()
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: Levin & Ben-Israel 2002, Directional Newton methods in n variables,
    https://doi.org/10.1090/S0025-5718-01-01332-1; with second derivatives by differences.
    """

    max_dist: Hyper = positive(1e5)
    validate_step: bool = static(True)
    alpha: Hyper = positive(1)
    log_lrs: bool = static(False)

    def search(self, line: Line, memory: Any) -> tuple[Found, Any]:
        max_dist, alpha = line.settings(self, "max_dist", "alpha")
        alpha, slope = line.number(alpha), line.slope0
        f = line.value(alpha)
        newton, usable = parabola(line, slope, (f - line.f0 - slope * alpha) / alpha**2, max_dist)
        return validated(line, alpha, f, newton, usable, 1, self.validate_step), memory

    def apply(self, state: LineSearchState, var: Var) -> Var:
        return log_step(self, state, super().apply(state, var))


def validated(
    line: Line, a: Tensor, f: Tensor, newton: Tensor, usable: Tensor, evaluations: int, validate: bool
) -> Found:
    """The Newton step where it is usable and, if validated, not above φ(a) = f; else a."""
    if not validate:
        unknown = torch.full_like(f, torch.inf)
        step, f_step = torch.where(usable, newton, a), torch.where(usable, unknown, f)
        return Found(step, f_step, (), torch.isfinite(f), line.count(evaluations))
    f_newton = cond(usable, line.value, lambda a: f, newton)
    good = usable & torch.isfinite(f_newton) & ((f_newton <= f) | ~torch.isfinite(f))
    finite = torch.isfinite(f) | good
    used = line.count(evaluations) + torch.where(usable, 1, 0)
    return Found(torch.where(good, newton, a), torch.where(good, f_newton, f), (), finite, used)
