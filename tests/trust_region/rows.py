"""Rows of the trust-region family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "CubicRegularization": Row(
        lambda: tz.m.CubicRegularization(tz.m.Newton(), init=0.5),
        "tests/trust_region/test_cubic_regularization.py::test_the_step_is_the_global_minimum_of_the_model",
        more=(
            lambda: tz.m.CubicRegularization(tz.m.Newton(), check_decrease=True, indefinite="global", update_freq=2),
        ),
    ),
    "Dogleg": Row(
        lambda: tz.m.Dogleg(tz.m.Newton(), init=0.5),
        "tests/trust_region/test_dogleg.py::test_the_step_lies_on_the_path",
        more=(lambda: tz.m.Dogleg(tz.m.Newton(), radius_strategy="fixed", inner=tz.m.EMA(0.5)),),
    ),
    "ExactTrustRegion": Row(
        lambda: tz.m.ExactTrustRegion(tz.m.Newton(), init=0.5),
        "tests/trust_region/test_exact_trust_region.py::test_the_step_is_the_global_minimum",
        more=(
            lambda: tz.m.ExactTrustRegion(tz.m.GaussNewton(), scale="diagonal", keep_grad=True, init=0.5, cautious=2),
            lambda: tz.m.ExactTrustRegion(tz.m.Newton(), eta=0.1, update_freq=2, inner=tz.m.EMA(0.5)),
        ),
    ),
    "LevenbergMarquardt": Row(
        lambda: tz.m.LevenbergMarquardt(tz.m.Newton(), y=0.5, init=0.5),
        "tests/trust_region/test_levenberg_marquardt.py::test_agrees_with_a_loop_in_numpy",
        more=(
            lambda: tz.m.LevenbergMarquardt(tz.m.GaussNewton(), adaptive=True, update_freq=2),
            lambda: tz.m.LevenbergMarquardt(tz.m.Newton(), eta=0.5, inner=tz.m.EMA(0.5)),
        ),
    ),
    "TrustCG": Row(
        lambda: tz.m.TrustCG(tz.m.Newton(), init=0.5, reg=0.1),
        "tests/trust_region/test_trust_cg.py::test_the_step_is_the_truncated_solution",
        more=(lambda: tz.m.TrustCG(tz.m.Newton(), maxiter=2, boundary_tol=None, inner=tz.m.EMA(0.5)),),
    ),
}
