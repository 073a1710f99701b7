"""The conjugate gradient methods in the registry."""

from collections.abc import Callable

import torchzero as tz
from tests.rows import Row


def _row(make: Callable[..., tz.Module]) -> Row:
    return Row(
        lambda: make(restart_interval=3),
        more=(lambda: make(restart_interval=None, clip_beta=True), lambda: make(inner=[tz.m.EMA(0.5), tz.m.LR(0.3)])),
    )


ROWS: dict[str, Row] = {
    "ConjugateDescent": _row(lambda **hypers: tz.m.ConjugateDescent(**hypers)),
    "DYHS": _row(lambda **hypers: tz.m.DYHS(**hypers)),
    "DaiYuan": _row(lambda **hypers: tz.m.DaiYuan(**hypers)),
    "FletcherReeves": _row(lambda **hypers: tz.m.FletcherReeves(**hypers)),
    "HagerZhang": _row(lambda **hypers: tz.m.HagerZhang(**hypers)),
    "HestenesStiefel": _row(lambda **hypers: tz.m.HestenesStiefel(**hypers)),
    "LiuStorey": _row(lambda **hypers: tz.m.LiuStorey(**hypers)),
    "PolakRibiere": _row(lambda **hypers: tz.m.PolakRibiere(**hypers)),
    "ProjectedGradientMethod": Row(
        lambda: tz.m.ProjectedGradientMethod(restart_interval=3),
        more=(
            lambda: tz.m.ProjectedGradientMethod(2.0, restart_interval=None, beta=0.3),
            lambda: tz.m.ProjectedGradientMethod(concat_params=False, inner=tz.m.EMA(0.5)),
        ),
    ),
}
