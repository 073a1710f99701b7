"""Rows of the momentum family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "EMA": Row(
        lambda: tz.m.EMA(0.8, dampening=0.25, debias=True),
        more=(lambda: tz.m.EMA(0.8, ema_init="update"), lambda: tz.m.EMA(0.8, lerp=False, debias=True)),
    ),
    "HeavyBall": Row(lambda: tz.m.HeavyBall(0.8, dampening=0.25), more=(lambda: tz.m.HeavyBall(debias=True),)),
    "NAG": Row(lambda: tz.m.NAG(0.8, dampening=0.25), more=(lambda: tz.m.NAG(0.8, lerp=True),)),
    "SGD": Row(
        lambda: tz.m.SGD(0.8, dampening=0.25, weight_decay=0.1, alpha=0.5),
        more=(lambda: tz.m.SGD(), lambda: tz.m.SGD(0.8, 0.25, 0.1, nesterov=True)),
    ),
    "Averaging": Row(lambda: tz.m.Averaging(2)),
    "WeightedAveraging": Row(lambda: tz.m.WeightedAveraging([0.5, 1.0, 2.0])),
    "MedianAveraging": Row(lambda: tz.m.MedianAveraging(3), more=(lambda: tz.m.MedianAveraging(2),)),
    "Cautious": Row(
        lambda: tz.m.Cautious(),
        oracle="tests/momentum/test_cautious.py::test_agrees_with_the_formula",
        more=(
            lambda: tz.m.Cautious(normalize=True),
            lambda: tz.m.Cautious(mode="grad"),
            lambda: tz.m.Cautious(mode="backtrack"),
            lambda: tz.Chain(tz.m.EMA(0.9), tz.m.Cautious(normalize=True)),
            lambda: tz.Chain(tz.m.EMA(0.9), tz.m.Cautious(mode="grad")),
        ),
    ),
}
