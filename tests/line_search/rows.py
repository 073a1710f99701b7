"""Rows of the line search family."""

import torchzero as tz
from tests.rows import Row

REFERENCES = "tests/line_search/test_against_references.py::"

ROWS: dict[str, Row] = {
    "Backtracking": Row(
        lambda: tz.m.Backtracking(beta=0.4, c=1e-3),
        oracle=REFERENCES + "test_backtracking",
        more=(
            lambda: tz.m.Backtracking(condition="decrease", maxiter=3),
            lambda: tz.m.Backtracking(condition="goldstein", c=0.1, adaptive=False),
        ),
    ),
    "AdaptiveBacktracking": Row(
        lambda: tz.m.AdaptiveBacktracking(scale_beta=0.2, target_iters=2),
        oracle=REFERENCES + "test_adaptive_backtracking",
    ),
    "AdaptiveBisection": Row(
        lambda: tz.m.AdaptiveBisection(init=0.1, nplus=3), oracle=REFERENCES + "test_adaptive_bisection"
    ),
    "ArmijoLS": Row(lambda: tz.m.ArmijoLS(mul=0.3, beta=0.1), oracle=REFERENCES + "test_armijo"),
    "StrongWolfe": Row(
        lambda: tz.m.StrongWolfe(c2=0.1),
        oracle=REFERENCES + "test_strong_wolfe_is_that_of_torch",
        more=(
            lambda: tz.m.StrongWolfe(c2=0.2, interpolation="quadratic", a_init="first-order"),
            lambda: tz.m.StrongWolfe(c2=0.2, interpolation="bisection", a_init="previous", fallback=True),
            lambda: tz.m.StrongWolfe(c2=0.2, interpolation="polynomial", a_init="quadratic-clip", plus_minus=True),
            lambda: tz.m.StrongWolfe(c2=0.2, lb=-4.0, ub=3.0),
        ),
    ),
    "HagerZhangLineSearch": Row(
        lambda: tz.m.HagerZhangLineSearch(sigma=0.2, a_init="quadratic"), oracle=REFERENCES + "test_hager_zhang"
    ),
    "GridLineSearch": Row(lambda: tz.m.GridLineSearch(0.01, 0.3, 5), oracle=REFERENCES + "test_grids"),
    "GridLS": Row(lambda: tz.m.GridLS([0.01, 0.1, 0.3], stop_on_worsened=True), oracle=REFERENCES + "test_grids"),
    "LinspaceLS": Row(lambda: tz.m.LinspaceLS(0.01, 0.3, 4), oracle=REFERENCES + "test_grids"),
    "ArangeLS": Row(lambda: tz.m.ArangeLS(0.01, 0.3, 0.07, stop_on_improvement=True), oracle=REFERENCES + "test_grids"),
    "MultiplicativeLS": Row(lambda: tz.m.MultiplicativeLS(0.01, 1.8, 6), oracle=REFERENCES + "test_grids"),
    "BacktrackingLS": Row(lambda: tz.m.BacktrackingLS(0.9, 0.4, 6), oracle=REFERENCES + "test_grids"),
    "DirectionalNewton": Row(
        lambda: tz.m.DirectionalNewton(alpha=0.2),
        oracle=REFERENCES + "test_directional_newton",
        more=(lambda: tz.m.DirectionalNewton(validate_step=False, max_dist=0.5),),
    ),
    "DirectionalNewton3Points": Row(
        lambda: tz.m.DirectionalNewton3Points(alpha=0.1), oracle=REFERENCES + "test_directional_newton"
    ),
    "ScipyMinimizeScalar": Row(
        lambda: tz.m.ScipyMinimizeScalar(maxiter=8),
        oracle=REFERENCES + "test_scipy",
        more=(lambda: tz.m.ScipyMinimizeScalar("bounded", bounds=(0.0, 1.0), maxiter=8, prev_init=True),),
    ),
}
