"""Rows of the smoothing family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "LaplacianSmoothing": Row(lambda: tz.m.LaplacianSmoothing(sigma=0.7, min_numel=2)),
}
