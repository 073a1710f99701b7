"""DirectionalNewton3Points: the minimum of a parabola along the update, from three values."""

from typing import Any

import torch

from torchzero.core.hyper import Hyper, positive, static
from torchzero.core.var import Var
from torchzero.line_search.base import Found, Line, LineSearch, LineSearchState, log_step
from torchzero.line_search.directional_newton import parabola, validated


class DirectionalNewton3Points(LineSearch):
    r"""Step to the minimum of the parabola through φ(0), φ(α) and φ(2α).

    $$ κ = \frac{φ(2α) - 2φ(α) + φ(0)}{2α^2},\qquad s = \frac{4φ(α) - φ(2α) - 3φ(0)}{2α},\qquad a_t = \frac{-s}{2κ} $$

    Where κ ≤ 0, s = 0, $|a_t|$ is above `max_dist`, or (if validated) φ is higher at $a_t$ than at the better of α and
    2α, the step is the better of α and 2α. No gradient is needed. The loss may rise, as φ(0) is not compared; where φ
    is not finite the step is zero.

    Args:
        max_dist: > 0, the longest step size.
        validate_step: evaluate φ at the minimum of the parabola, and step there only if it is not above the others.
        alpha: α > 0, the first trial.
        log_lrs: publish the step size as `attrs["line_search.lr"]`.

    Raises:
        ValueError: for a number outside its range.

    >>> import torch, torchzero as tz
    >>> search = tz.m.DirectionalNewton3Points()
    >>> search(p := torch.tensor([3.0]), search.init(p), lambda x: (x**2).sum())[0]
    tensor([0.])

    Reference: Levin & Ben-Israel 2002, Directional Newton methods in n variables,
    https://doi.org/10.1090/S0025-5718-01-01332-1; with derivatives by differences.
    """

    needs = frozenset({"objective", "value"})

    max_dist: Hyper = positive(1e4)
    validate_step: bool = static(True)
    alpha: Hyper = positive(1)
    log_lrs: bool = static(False)

    def search(self, line: Line, memory: Any) -> tuple[Found, Any]:
        max_dist, alpha = line.settings(self, "max_dist", "alpha")
        alpha = line.number(alpha)
        f1, f2 = line.value(alpha), line.value(2 * alpha)
        bend = (f2 - 2 * f1 + line.f0) / (2 * alpha**2)
        newton, usable = parabola(line, (4 * f1 - f2 - 3 * line.f0) / (2 * alpha), bend, max_dist)
        twice = (f2 < f1) | ~torch.isfinite(f1)
        a, f = torch.where(twice, 2 * alpha, alpha), torch.where(twice, f2, f1)
        return validated(line, a, f, newton, usable, 2, self.validate_step), memory

    def apply(self, state: LineSearchState, var: Var) -> Var:
        return log_step(self, state, super().apply(state, var))
