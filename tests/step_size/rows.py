"""Rows of the step size family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "LR": Row(lambda: tz.m.LR(0.1)),
    "StepSize": Row(lambda: tz.m.StepSize(0.3, key="scale")),
    "Alpha": Row(lambda: tz.m.Alpha(0.3)),
    "Warmup": Row(lambda: tz.m.Warmup(steps=2, start_lr=0.1, end_lr=0.9)),
    "LRWarmup": Row(lambda: tz.m.LRWarmup(2, start_lr=0.1, end_lr=0.9, delay_steps=1)),
    "WarmupNormClip": Row(lambda: tz.m.WarmupNormClip(steps=2, start_norm=0.3, end_norm=0.9)),
    "PolyakStepSize": Row(
        lambda: tz.m.PolyakStepSize(alpha=0.9, max=0.5),
        more=(
            lambda: tz.m.PolyakStepSize(f_star=None, y=2.0, y_decay=0.1),
            lambda: tz.m.PolyakStepSize(use_grad=False, inner=tz.m.EMA(0.5)),
        ),
    ),
    "BarzilaiBorwein": Row(
        lambda: tz.m.BarzilaiBorwein(alpha_0=0.01),
        more=(
            lambda: tz.m.BarzilaiBorwein("long", alpha_0=0.01),
            lambda: tz.m.BarzilaiBorwein("short", alpha_0=0.01, use_grad=False, inner=tz.m.EMA(0.5)),
        ),
    ),
    "RandomStepSize": Row(
        lambda: tz.m.RandomStepSize(0.5, 1.5, seed=3),
        oracle="tests/step_size/test_random_step_size.py::test_factors_are_uniform",
        more=(lambda: tz.m.RandomStepSize(0.5, 1.5, parameterwise=True, seed=3),),
    ),
}
