"""Interpolants find the minimum of what they interpolate exactly: polynomials of their degree."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from torchzero.line_search.interpolation import cubic, quadratic, quintic

coefficients = st.floats(-3, 3)
places = st.floats(-2, 2).map(lambda x: round(x, 3))


def number(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float64)


def point(p: Any, a: float) -> Tensor:
    return torch.tensor([a, p(a), p.deriv()(a)], dtype=torch.float64)


@given(c=st.lists(coefficients, min_size=4, max_size=4), a=places, b=places)
def test_cubic(c: list[float], a: float, b: float) -> None:
    """In either order of the points; moved into the bounds, and to their middle where there is no minimum."""
    assume(abs(a - b) > 0.1)
    assume(abs(c[0]) > 0.1)
    p = np.poly1d(c)
    lower, upper = min(a, b) - 0.5, max(a, b) + 1.0
    roots = np.atleast_1d(p.deriv().roots)
    lowest = [r.real for r in roots if abs(np.imag(r)) == 0 and p.deriv(2)(r.real) > 1e-3]
    none = 4 * c[1] ** 2 - 12 * c[0] * c[2] < -0.1
    got = cubic(point(p, a), point(p, b), number(lower), number(upper)).item()
    if none:
        assert got == pytest.approx((lower + upper) / 2)
    elif len(lowest) == 1:
        assert got == pytest.approx(min(max(lowest[0], lower), upper), abs=1e-6)


@pytest.mark.parametrize(("slope", "end"), [(-2.0, 3.0), (2.0, -1.0), (0.0, 1.0)])
def test_cubic_through_a_straight_line_goes_all_the_way_down(slope: float, end: float) -> None:
    p = np.poly1d([slope, 1.0])
    for a, b in ((0.0, 1.0), (1.0, 0.0)):
        assert cubic(point(p, a), point(p, b), number(-1.0), number(3.0)) == end


@given(c=st.lists(coefficients, min_size=3, max_size=3), a=places, b=places)
def test_quadratic(c: list[float], a: float, b: float) -> None:
    assume(abs(a - b) > 0.1)
    assume(abs(c[0]) > 1e-3)
    p = np.poly1d(c)
    got = quadratic(point(p, a), point(p, b), number(-3.0), number(4.0), number(7.0)).item()
    assert got == pytest.approx(np.clip(-c[1] / (2 * c[0]), -3, 4) if c[0] > 0 else 7.0, abs=1e-9)


@given(c=st.lists(coefficients, min_size=6, max_size=6), at=st.tuples(places, places, places))
def test_quintic(c: list[float], at: tuple[float, float, float]) -> None:
    """Not above the polynomial's minimum between the first two points, however many it has."""
    a, b, d = at
    assume(min(abs(a - b), abs(b - d), abs(a - d)) > 0.2)
    p = np.poly1d(c)
    got = quintic(point(p, a), point(p, b), point(p, d)).item()
    low, high = min(a, b), max(a, b)
    assert low - 1e-12 <= got <= high + 1e-12
    grid = p(np.linspace(low, high, 2001))
    assert p(got) <= grid.min() + 1e-5 * (grid.max() - grid.min()) + 1e-9
