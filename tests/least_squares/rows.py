"""Rows of the least-squares family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "GaussNewton": Row(
        lambda: tz.m.GaussNewton(reg=0.1),
        "tests/least_squares/test_gauss_newton.py::test_agrees_with_numpys_least_squares",
        more=(lambda: tz.m.GaussNewton(reg=0.1, update_freq=2, inner=tz.m.EMA(0.5)),),
    ),
    "SumOfSquares": Row(
        tz.m.SumOfSquares, "tests/least_squares/test_sum_of_squares.py::test_is_the_sum_of_squares_by_hand"
    ),
}
