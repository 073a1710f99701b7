"""The restart strategies in the registry."""

import torchzero as tz
from tests.rows import Row


def _memory() -> tz.Module:
    return tz.m.EMA(0.5)


ROWS: dict[str, Row] = {
    "BirginMartinezRestart": Row(
        lambda: tz.m.BirginMartinezRestart(tz.m.HeavyBall(0.9), cond=0.1),
    ),
    "PowellRestart": Row(
        lambda: tz.m.PowellRestart(tz.m.HagerZhang(), 0.3, 0.4),
        more=(
            lambda: tz.m.PowellRestart(tz.m.HeavyBall(0.5), 0.5, None),
            lambda: tz.m.PowellRestart(tz.m.HeavyBall(0.5), None, 0.5),
        ),
    ),
    "RestartEvery": Row(
        lambda: tz.m.RestartEvery(_memory(), 2),
        more=(lambda: tz.m.RestartEvery([tz.m.AddNoise(0.3, seed=1), tz.m.LR(0.3)], 2),),
    ),
    "RestartOnStuck": Row(lambda: tz.m.RestartOnStuck(_memory(), tol=0.5, n_tol=1)),
    "RestartOnTerminationCriteria": Row(
        lambda: tz.m.RestartOnTerminationCriteria(_memory(), tz.m.TerminateByGradientNorm(3.0, n=2)),
    ),
}
