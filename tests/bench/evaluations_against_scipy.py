"""How many evaluations tz.minimize takes next to scipy: python -m tests.bench.evaluations_against_scipy [--write]."""

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

import torchzero as tz
from tests.problems.more_garbow_hillstrom import PROBLEMS, Problem
from torchzero.core.objective import FunctionObjective

PAGE = Path(__file__).parents[2] / "docs" / "evaluations.md"
TOLERANCE = 1e-6  # times max(1, the lowest published minimum): the largest element of the gradient
BUDGET = 3000
TIGHT = 4 * np.finfo(float).eps

# ours: (scipy's counterpart, its options). Its own criteria are switched off; the loop below stops it.
LIMITS = {"maxiter": 10 * BUDGET}
PAIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "lbfgs": ("L-BFGS-B", {**LIMITS, "ftol": 0, "gtol": 0, "maxfun": 10 * BUDGET}),
    "bfgs": ("BFGS", {**LIMITS, "gtol": 0}),
    "cg": ("CG", {**LIMITS, "gtol": 0}),
    "newton": ("trust-exact", {**LIMITS, "gtol": 0}),
    "trust-newton": ("trust-exact", {**LIMITS, "gtol": 0}),
    "newton-cg": ("Newton-CG", {**LIMITS, "xtol": 0}),
    "lm": ("least_squares lm", {}),
}


class Outcome(NamedTuple):
    """One run."""

    value: float  # Σ r² where it ended
    converged: bool  # whether the gradient came below the tolerance
    evaluations: int  # of the value, or of value and gradient, as its library counts them
    points: int  # evaluations away from the point evaluated just before


class Done(Exception):  # noqa: N818  (not an error)
    """The tolerance is met, or the budget spent."""


class Counted(FunctionObjective):
    """Counts the points at which it is evaluated."""

    def __init__(self, fn: Callable[[Any], Tensor]) -> None:
        super().__init__(fn)
        self.points, self.last, self.inside = 0, None, False

    def _at(self, x: Tensor, evaluate: Callable[[], Any]) -> Any:
        if self.inside:
            return evaluate()
        if self.last is None or not torch.equal(x, self.last):
            self.points, self.last = self.points + 1, x.clone()
        return self._within(evaluate)

    def _within(self, evaluate: Callable[[], Any]) -> Any:
        before, self.inside = self.inside, True
        try:
            return evaluate()
        finally:
            self.inside = before

    def value(self, params: Any) -> Tensor:
        return self._at(params, lambda: super(Counted, self).value(params))

    def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
        return self._at(params, lambda: super(Counted, self).value_and_grad(params))

    def linearize(self, params: Any) -> Any:
        return self._within(lambda: super(Counted, self).linearize(params))

    def hessian(self, params: Any) -> Tensor:
        return self._within(lambda: super(Counted, self).hessian(params))


def tolerance(problem: Problem) -> float:
    return TOLERANCE * max(1.0, min(problem.minima).value)


def ours(problem: Problem, method: str, budget: int = BUDGET) -> Outcome:
    """tz.minimize."""
    objective = Counted(problem.residuals if method == "lm" else problem.value)
    result = tz.minimize(
        objective, problem.x0, method, tol=tolerance(problem), max_iterations=budget, max_evaluations=budget,
        differentiate=None,
    )  # fmt: skip
    value = float(problem.value(result.x))
    return Outcome(value, bool(result.success), int(result.evaluations), objective.points)


class Watched:
    """A problem as scipy calls it, which ends the run by itself."""

    def __init__(self, problem: Problem, square: bool, budget: int) -> None:
        self.problem, self.square, self.budget = problem, square, budget
        self.tol = tolerance(problem)
        self.evaluations = self.points = 0
        self.last: np.ndarray | None = None
        self.x, self.converged = np.array(problem.start, float), False

    def count(self, z: np.ndarray) -> Tensor:
        self.evaluations += 1
        if self.last is None or not np.array_equal(z, self.last):
            self.points, self.last = self.points + 1, z.copy()
        if self.evaluations > self.budget:
            raise Done
        return torch.from_numpy(z.copy())

    def value_and_grad(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        grad, value = torch.func.grad_and_value(self.problem.value)(self.count(z))
        return float(value), grad.numpy()

    def value(self, z: np.ndarray) -> float:
        return float(self.problem.value(self.count(z)))

    def grad(self, z: np.ndarray) -> np.ndarray:
        return torch.func.grad(self.problem.value)(self.count(z)).numpy()

    def hess(self, z: np.ndarray) -> np.ndarray:
        return torch.func.hessian(self.problem.value)(torch.from_numpy(z.copy())).numpy()

    def accepted(self, z: np.ndarray) -> None:
        """The callback: called with every iterate."""
        self.stop_at(z, torch.func.grad(self.problem.value)(torch.from_numpy(z.copy())))

    def stop_at(self, z: np.ndarray, grad: Tensor) -> None:
        self.x, self.converged = z.copy(), float(grad.abs().max()) <= self.tol
        if self.converged:
            raise Done

    def residuals(self, z: np.ndarray) -> np.ndarray:
        return self.problem.residuals(self.count(z)).numpy()

    def jacobian(self, z: np.ndarray) -> np.ndarray:
        """Asked for at every iterate, so this is where least squares is stopped."""
        x = torch.from_numpy(z.copy())
        J = torch.func.jacfwd(self.problem.residuals)(x)
        self.stop_at(z, J.mT @ self.problem.residuals(x))
        return J.numpy()


def theirs(problem: Problem, method: str, options: dict[str, Any], budget: int = BUDGET) -> Outcome:
    """scipy.optimize."""
    run = Watched(problem, method == "least_squares lm", budget)
    try:
        with np.errstate(all="ignore"):
            if run.square:
                scipy.optimize.least_squares(
                    run.residuals, run.x, run.jacobian, method="lm", xtol=TIGHT, ftol=TIGHT, gtol=TIGHT, max_nfev=budget
                )
            elif method in ("trust-exact", "Newton-CG"):
                scipy.optimize.minimize(
                    run.value, run.x, jac=run.grad, hess=run.hess, method=method, callback=run.accepted, options=options
                )
            else:
                scipy.optimize.minimize(
                    run.value_and_grad, run.x, jac=True, method=method, callback=run.accepted, options=options
                )
    except Done:
        pass
    except (np.linalg.LinAlgError, ValueError, OverflowError):  # what trust-exact raises at points that are not finite
        run.converged = False
    return Outcome(float(problem.value(torch.from_numpy(run.x))), run.converged, run.evaluations, run.points)


def solved(problem: Problem, outcome: Outcome) -> bool:
    """Whether it converged to a published minimum: to three figures, those that are zero to 1e-6."""
    near = any(abs(outcome.value - low) <= (1e-3 * low or 1e-6) for low, _ in problem.minima)
    return outcome.converged and near


def cell(problem: Problem, outcome: Outcome) -> str:
    if solved(problem, outcome):
        return str(outcome.evaluations)
    return f"{outcome.evaluations} *elsewhere*" if outcome.converged else f"{outcome.evaluations} *failed*"


class Comparison(NamedTuple):
    """A method on all problems."""

    method: str
    counterpart: str
    runs: list[tuple[Problem, Outcome, Outcome]]

    def ratios(self, count: Callable[[Outcome], int]) -> list[float]:
        """Ours to theirs, where both are solved and in the same minimum."""
        return [count(a) / count(b) for p, a, b in self.runs if solved(p, a) and solved(p, b) and same(a, b)]


def same(a: Outcome, b: Outcome) -> bool:
    return math.isclose(a.value, b.value, rel_tol=1e-2, abs_tol=2e-6)


def compare(method: str, budget: int = BUDGET, problems: Sequence[Problem] = PROBLEMS) -> Comparison:
    """The problems by both."""
    name, options = PAIRS[method]
    runs = [(p, ours(p, method, budget), theirs(p, name, options, budget)) for p in problems]
    return Comparison(method, name, runs)


def page(comparisons: list[Comparison]) -> str:
    """The generated page."""
    lines = [
        "# Evaluations against scipy",
        "",
        "Generated by `python -m tests.bench.evaluations_against_scipy --write`; do not edit.",
        "",
        "The test problems of Moré, Garbow & Hillstrom (1981) in float64, from their standard starts, by",
        f"`tz.minimize` and by its counterpart in scipy {scipy.__version__}. Both run in the same process on the same",
        f"function until no element of the gradient at an iterate exceeds {TOLERANCE:g} · max(1, f*), with exact",
        f"derivatives and at most {BUDGET} evaluations. Counted are evaluations of the function, with or without its",
        "gradient; a gradient asked for on its own counts as one. Jacobians and Hessians do not count, on either side.",
        "That is how each library counts for itself: scipy's `nfev` of lm counts residual evaluations, and so do",
        "we; its `njev` counts Jacobians, of which both evaluate one at each accepted point. Our evaluation at a trial",
        "includes the gradient. scipy's trust-exact and Newton-CG ask for the two in two calls, which are two",
        "evaluations but one point.",
        "*failed*: the tolerance was not met; *elsewhere*: it was met, but not at a minimum that the paper lists.",
        "Points are evaluations away from the point that was evaluated just before.",
        "",
        "## Summary",
        "",
        "| method | scipy | compared | median ratio of evaluations | of points | solved by us | by scipy |",
        "|---|---|---|---|---|---|---|",
    ]
    for c in comparisons:
        evaluations, points = c.ratios(lambda o: o.evaluations), c.ratios(lambda o: o.points)
        won = [sum(solved(run[0], run[k]) for run in c.runs) for k in (1, 2)]
        lines.append(
            f"| {c.method} | {c.counterpart} | {len(evaluations)} | {statistics.median(evaluations):.2f} | "
            f"{statistics.median(points):.2f} | {won[0]} of {len(c.runs)} | {won[1]} of {len(c.runs)} |"
        )
    for c in comparisons:
        lines += [
            "",
            f"## {c.method}",
            "",
            f"| problem | n | {c.method} | {c.counterpart} | ratio |",
            "|---|---|---|---|---|",
        ]
        for p, a, b in c.runs:
            both = solved(p, a) and solved(p, b) and same(a, b)
            ratio = f"{a.evaluations / b.evaluations:.2f}" if both else ""
            lines.append(f"| {p.name} | {len(p.start)} | {cell(p, a)} | {cell(p, b)} | {ratio} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the page, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    parser.add_argument("methods", nargs="*", help="by default all; `bounds` is the last section")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    text = page([compare(method) for method in asked.methods or PAIRS if method != "bounds"])
    if not asked.methods or "bounds" in asked.methods:
        from tests.bench.bounded_against_scipy import section  # which is made of this module

        text += "\n".join(section()) + "\n"
    print(text)
    if asked.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
