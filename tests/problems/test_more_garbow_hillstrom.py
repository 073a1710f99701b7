"""The published minima of Moré, Garbow & Hillstrom: that the formulas have them, and which methods find them."""

import re
import statistics

import numpy as np
import pytest
import scipy.optimize
import torch

import torchzero as tz
from tests.bench.evaluations_against_scipy import PAGE, PAIRS, Comparison, compare, solved
from tests.problems.more_garbow_hillstrom import PROBLEMS, Problem, helical_valley, vector
from torchzero.minimization import Result

METHODS = tuple(PAIRS)
SEVERAL_SIZES = {20: 3, 23: 2, 24: 2, 35: 3}
BUDGET = 600  # evaluations

# Every (method, problem) that does not end in a published minimum within the budget, and why. Nothing else may fail,
# nor may one of these be solved unnoticed.
FLAT = "the least eigenvalues of the Hessian are so small that the gradient says little, or progress is slow"
SCALE = "badly scaled: progress is slow without a scale for every variable"
SLOW = "conjugate gradients need more than this budget, as scipy's do"
LOCAL = "ends in another stationary point, or in a valley that leads to infinity"
FAILURES: dict[tuple[str, str], str] = {
    ("lbfgs", "watson_12"): FLAT,
    ("bfgs", "watson_12"): FLAT,
    ("cg", "powell_badly_scaled"): SCALE,
    ("cg", "meyer"): SCALE,
    ("cg", "osborne_1"): SCALE,
    ("cg", "osborne_2"): SLOW,
    ("cg", "watson_6"): SLOW,
    ("cg", "penalty_2_4"): SLOW,
    ("cg", "penalty_2_10"): SLOW,
    ("cg", "watson_9"): FLAT,
    ("cg", "watson_12"): FLAT,
    ("trust-newton", "biggs_exp6"): LOCAL,
    ("trust-newton", "chebyquad_10"): LOCAL,
    ("newton-cg", "meyer"): SCALE,
    ("newton-cg", "gulf"): SCALE,
    ("newton-cg", "watson_12"): FLAT,
}

each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)


def polished(problem: Problem, near: list[float]) -> float:
    """Σ r² where scipy's least squares goes from a point."""

    def residuals(z: np.ndarray) -> np.ndarray:
        return problem.residuals(torch.from_numpy(z)).numpy()

    def jacobian(z: np.ndarray) -> np.ndarray:
        return torch.func.jacrev(problem.residuals)(torch.from_numpy(z)).numpy()

    tight = 4 * np.finfo(float).eps
    found = scipy.optimize.least_squares(
        residuals, np.array(near, float), jacobian, method="lm", xtol=tight, ftol=tight, gtol=tight
    )
    return 2 * found.cost


def test_all_thirty_five_are_there() -> None:
    counts = {n: [p.number for p in PROBLEMS].count(n) for n in range(1, 36)}
    assert counts == {n: SEVERAL_SIZES.get(n, 1) for n in range(1, 36)}
    assert len({p.name for p in PROBLEMS}) == len(PROBLEMS)


@each_problem
def test_the_formula_has_the_published_minima(problem: Problem) -> None:
    for minimum in problem.minima:
        near = minimum.near or problem.start
        got = float(problem.value(vector(near))), polished(problem, near)
        assert any(minimum.attained(value) for value in got), (minimum, got)


@each_problem
def test_the_start_is_no_minimum(problem: Problem) -> None:
    assert not problem.reached(float(problem.value(problem.x0)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # in what torch imports for forward mode
@each_problem
def test_batches_and_both_modes_of_differentiation_agree(problem: Problem) -> None:
    generator = torch.Generator().manual_seed(0)
    x = problem.x0 + 0.01 * torch.rand(3, len(problem.start), dtype=torch.float64, generator=generator)
    looped = torch.stack([problem.residuals(row) for row in x])
    torch.testing.assert_close(torch.vmap(problem.residuals)(x), looped, rtol=1e-12, atol=1e-12)
    forward = torch.func.jacfwd(problem.residuals)(x[0])
    reverse = torch.func.jacrev(problem.residuals)(x[0])
    assert looped.dtype == forward.dtype == torch.float64
    assert torch.isfinite(forward).all()
    torch.testing.assert_close(forward, reverse, rtol=1e-9, atol=1e-9 * float(forward.abs().max()))


# Values worked out by hand or with the formulas' other forms, where the minima cannot tell (signs, branches).
def test_the_angle_of_the_helical_valley_is_that_of_the_paper() -> None:
    for a, b in ((1.0, 2.0), (1.0, -2.0), (-1.0, 2.0), (-1.0, -2.0)):
        turn = np.arctan(b / a) / (2 * np.pi) + (0.5 if a < 0 else 0)
        expected = vector([10 * (3 - 10 * turn), 10 * (np.hypot(a, b) - 1), 3])
        torch.testing.assert_close(helical_valley(vector([a, b, 3])), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@each_problem
def test_a_published_minimum_is_reached_or_the_failure_is_known(problem: Problem, method: str) -> None:
    lowest = min(problem.minima)

    def there(result: Result) -> bool:
        return lowest.attained(float(problem.value(result.x)))

    f = problem.residuals if method == "lm" else problem.value
    result = tz.minimize(f, problem.x0, method, max_evaluations=BUDGET, callback=there, differentiate=None)
    reached = problem.reached(float(problem.value(result.x)))
    known = FAILURES.get((method, problem.name))
    what = f"{float(problem.value(result.x)):.8g} after {int(result.evaluations)} evaluations, {result.message}"
    if known is None:
        assert reached, what
    else:
        assert not reached, f"{what}: take it out of FAILURES ({known})"


def test_known_failures_are_of_this_table() -> None:
    names = {p.name for p in PROBLEMS}
    assert all(method in METHODS and name in names and why for (method, name), why in FAILURES.items())
    assert len(FAILURES) <= 0.1 * len(METHODS) * len(PROBLEMS)


def no_more_than_scipy(comparison: Comparison, least: int) -> None:
    """At the median of the problems that both solve, in this process on the same function."""
    for ratios in (comparison.ratios(lambda o: o.evaluations), comparison.ratios(lambda o: o.points)):
        assert len(ratios) >= least
        assert statistics.median(ratios) <= 1.25


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # in what torch imports for forward mode
@pytest.mark.parametrize("method", METHODS)
def test_no_more_evaluations_than_scipy_takes_on_every_third_problem(method: str) -> None:
    no_more_than_scipy(compare(method, 100, PROBLEMS[::3]), 7)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # in what torch imports for forward mode
@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_no_more_evaluations_than_scipy_takes(method: str) -> None:
    comparison = compare(method)
    no_more_than_scipy(comparison, 34)
    ours, theirs = (sum(solved(run[0], run[k]) for run in comparison.runs) for k in (1, 2))
    assert ours >= theirs - (method == "trust-newton")  # biggs_exp6, see above


@pytest.mark.parametrize("method", METHODS)
def test_the_page_lists_every_problem_and_hides_no_failure(method: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = re.search(rf"^## {method}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None
    rows = [line.split(" | ") for line in section[1].splitlines() if line.startswith("| ") and "problem" not in line]
    assert [row[0].strip("| ") for row in rows] == [p.name for p in PROBLEMS]
    lost = sum("failed" in row[2] or "elsewhere" in row[2] for row in rows)
    summary = re.search(rf"^\| {method} \|.*\| (\d+) of (\d+) \| \d+ of \d+ \|$", text, re.MULTILINE)
    assert summary is not None
    assert int(summary[1]) == len(PROBLEMS) - lost
    assert int(summary[2]) == len(PROBLEMS)
