"""The section "lbfgsb with bounds" of the evaluations against scipy: python -m tests.bench.bounded_against_scipy."""

import statistics
from typing import NamedTuple

import numpy as np
import scipy.optimize
import torch

import torchzero as tz
from tests.bench.evaluations_against_scipy import BUDGET, TOLERANCE, Counted, Done, Outcome
from tests.problems.bounded import PROBLEMS, box, projected_gradient
from tests.problems.more_garbow_hillstrom import Problem

OPTIONS = {"ftol": 0, "gtol": 0, "maxiter": 10 * BUDGET, "maxfun": 10 * BUDGET}


class Scipy:
    """A bounded problem as scipy calls it; ends the run by itself."""

    def __init__(self, problem: Problem, tol: float) -> None:
        self.problem, self.tol, self.evaluations = problem, tol, 0
        self.x, self.converged = problem.x0.numpy(), False

    def value_and_grad(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        self.evaluations += 1
        if self.evaluations > BUDGET:
            raise Done
        grad, value = torch.func.grad_and_value(self.problem.value)(torch.from_numpy(z.copy()))
        return float(value), grad.numpy()

    def accepted(self, z: np.ndarray) -> None:
        self.x = z.copy()
        self.converged = projected_gradient(self.problem, torch.from_numpy(self.x)) <= self.tol
        if self.converged:
            raise Done

    def run(self) -> Outcome:
        lower, upper = box(self.problem)
        bounds = scipy.optimize.Bounds(lower.numpy(), upper.numpy())
        try:
            self.accepted(self.x)
            scipy.optimize.minimize(
                self.value_and_grad, self.x, jac=True, method="L-BFGS-B", bounds=bounds, callback=self.accepted,
                options=OPTIONS,
            )  # fmt: skip
        except Done:
            pass
        value = float(self.problem.value(torch.from_numpy(self.x)))
        return Outcome(value, self.converged, self.evaluations, self.evaluations)


def ours(problem: Problem, tol: float) -> Outcome:
    """tz.minimize."""
    objective = Counted(problem.value)
    result = tz.minimize(
        objective, problem.x0, "lbfgsb", bounds=box(problem), tol=tol, max_iterations=BUDGET, max_evaluations=BUDGET,
        differentiate=None,
    )  # fmt: skip
    return Outcome(float(result.value), bool(result.success), int(result.evaluations), objective.points)


class Row(NamedTuple):
    """A problem solved by both."""

    problem: Problem
    active: int  # bounds that hold at the lower of the two ends
    ours: Outcome
    theirs: Outcome

    @property
    def comparable(self) -> bool:
        """Whether both converged, and to the same value."""
        a, b = self.ours, self.theirs
        return a.converged and b.converged and abs(a.value - b.value) <= 1e-5 * max(1.0, abs(b.value))


def rows() -> list[Row]:
    found = []
    for problem in PROBLEMS:
        lower, upper = box(problem)
        loose = Scipy(problem, 0.0)
        low = loose.run().value
        tol = TOLERANCE * max(1.0, low)
        end = torch.from_numpy(loose.x)
        found.append(
            Row(problem, int(((end == lower) | (end == upper)).sum()), ours(problem, tol), Scipy(problem, tol).run())
        )
    return found


def section() -> list[str]:
    """The lines of the page."""
    table = rows()
    ratios = [r.ours.evaluations / r.theirs.evaluations for r in table if r.comparable and r.theirs.evaluations]
    won = [sum(o.converged for o in column) for column in ([r.ours for r in table], [r.theirs for r in table])]
    lines = [
        "",
        "## lbfgsb with bounds",
        "",
        "The same problems in boxes around their starts (tests/problems/bounded.py), by `minimize(bounds=...)` and by",
        "scipy's L-BFGS-B, until no element of the projected gradient x - P(x - g) exceeds",
        f"{TOLERANCE:g} · max(1, f*). Compared are {len(ratios)} of {len(table)} problems, on which both end at the",
        f"same value: the median ratio is {statistics.median(ratios):.2f}. Converged: {won[0]} by us, {won[1]} by",
        "scipy. *elsewhere*: at a higher value than the other.",
        "",
        "| problem | n | bounds met | lbfgsb | L-BFGS-B | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for r in table:
        higher = [r.ours.value > r.theirs.value, r.theirs.value > r.ours.value]
        cells = [_cell(o, r, worse) for o, worse in zip((r.ours, r.theirs), higher, strict=True)]
        ratio = f"{r.ours.evaluations / r.theirs.evaluations:.2f}" if r.comparable and r.theirs.evaluations else ""
        lines.append(f"| {r.problem.name} | {len(r.problem.start)} | {r.active} | {cells[0]} | {cells[1]} | {ratio} |")
    return lines


def _cell(outcome: Outcome, row: Row, worse: bool) -> str:
    if not outcome.converged:
        return f"{outcome.evaluations} *failed*"
    other = row.theirs if outcome is row.ours else row.ours
    return f"{outcome.evaluations}{' *elsewhere*' if worse and other.converged and not row.comparable else ''}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(section()[1:]))
