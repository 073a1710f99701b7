"""The misc modules in the registry."""

import torchzero as tz
from tests.rows import Row


def _wide(path: str, x: object) -> bool:
    return getattr(x, "ndim", 0) >= 2


def _adam() -> tz.Module:
    return tz.m.Adam(0.8, 0.9, 1e-3)


ROWS: dict[str, Row] = {
    "Accumulate": Row(lambda: tz.m.Accumulate(2)),
    "AddNoise": Row(
        lambda: tz.m.AddNoise(0.3, seed=1),
        oracle="tests/misc/test_add_noise.py::test_noise_is_in_proportion_to_the_size_that_the_mode_says",
        more=(
            lambda: tz.m.AddNoise(0.3, "uniform", "global", seed=1),
            lambda: tz.m.AddNoise(0.3, "sphere", "absolute", seed=1),
            lambda: tz.m.AddNoise(0.3, "rademacher", "channel", seed=1),
        ),
    ),
    "Alternate": Row(
        lambda: tz.m.Alternate(_adam(), [tz.m.EMA(0.5), tz.m.LR(0.3)], steps=(1, 2)),
        more=(lambda: tz.m.Alternate(tz.m.LR(0.1), tz.m.LR(0.2), tz.m.EMA(0.5)),),
    ),
    "DivByLoss": Row(lambda: tz.m.DivByLoss(0.5)),
    "Dropout": Row(
        lambda: tz.m.Dropout(0.3, seed=1),
        oracle="tests/misc/test_dropout.py::test_elements_are_kept_or_zero_in_the_right_proportion",
        more=(lambda: tz.m.Dropout(0.3, graft=True, seed=1),),
    ),
    "FillLoss": Row(lambda: tz.m.FillLoss(0.5)),
    "GradSign": Row(lambda: tz.m.GradSign()),
    "GradientAccumulation": Row(
        lambda: tz.m.GradientAccumulation(2),
        more=(lambda: tz.m.GradientAccumulation(2, mean=False, stop=False),),
    ),
    "Graft": Row(
        lambda: tz.m.Graft(_adam(), [tz.m.EMA(0.5), tz.m.LR(0.3)], strength=0.7),
        more=(lambda: tz.m.Graft(_adam(), tz.m.EMA(0.5), tensorwise=False, ord=1, eps=1e-3),),
    ),
    "GraftGradToUpdate": Row(
        lambda: tz.m.GraftGradToUpdate(), more=(lambda: tz.m.GraftGradToUpdate(tensorwise=True, ord="mad"),)
    ),
    "GraftToGrad": Row(lambda: tz.m.GraftToGrad(), more=(lambda: tz.m.GraftToGrad(tensorwise=True, ord=1),)),
    "GraftToParams": Row(lambda: tz.m.GraftToParams(), more=(lambda: tz.m.GraftToParams(tensorwise=True, ord=3),)),
    "HpuEstimate": Row(lambda: tz.m.HpuEstimate()),
    "LastAbsoluteRatio": Row(
        lambda: tz.m.LastAbsoluteRatio(eps=1e-2), more=(lambda: tz.m.LastAbsoluteRatio("prev", eps=1e-2),)
    ),
    "LastDifference": Row(lambda: tz.m.LastDifference()),
    "LastGradDifference": Row(lambda: tz.m.LastGradDifference()),
    "LastParamDifference": Row(lambda: tz.m.LastParamDifference()),
    "LastProduct": Row(lambda: tz.m.LastProduct()),
    "LastRatio": Row(lambda: tz.m.LastRatio(), more=(lambda: tz.m.LastRatio("prev"),)),
    "Lookahead": Row(
        lambda: tz.m.Lookahead([_adam(), tz.m.LR(0.1)], k=2, alpha=0.3),
        more=(lambda: tz.m.Lookahead([tz.m.GradientAccumulation(2), tz.m.LR(0.1)], k=2),),
    ),
    "Masked": Row(
        lambda: tz.m.Masked([_adam(), tz.m.LR(0.1)], _wide),
        more=(lambda: tz.m.Masked(tz.m.GraftToGrad(), True),),
    ),
    "MulByLoss": Row(lambda: tz.m.MulByLoss(0.5)),
    "Multistep": Row(
        lambda: tz.m.Multistep([tz.m.EMA(0.5), tz.m.LR(0.01)], 3),
        oracle="golden",
        more=(lambda: tz.m.Multistep(tz.m.LR(0.01), 1),),
    ),
    "NegateOnLossIncrease": Row(
        lambda: tz.m.NegateOnLossIncrease(), oracle="golden", more=(lambda: tz.m.NegateOnLossIncrease(backtrack=True),)
    ),
    "Online": Row(
        lambda: tz.m.Online([tz.m.LastGradDifference(), tz.m.LR(0.1)]),
        oracle="tests/misc/test_online.py::test_differences_are_taken_on_the_current_batch",
    ),
    "ParamEMA": Row(
        lambda: tz.m.ParamEMA(0.7),
        oracle="tests/misc/test_param_ema.py::test_is_the_weighted_mean_of_the_parameters_visited",
        more=(lambda: tz.m.ParamEMA(0.7, debias=True),),
    ),
    "Partition": Row(
        lambda: tz.m.Partition(
            {"wide": (_wide, _adam()), "thin": (lambda x: x.ndim == 1, tz.m.GraftToGrad())}, rest=tz.m.LR(0.3)
        ),
        more=(lambda: tz.m.Partition({"wide": (_wide, None)}, rest=[tz.m.EMA(0.5), tz.m.LR(0.3)]),),
    ),
    "Previous": Row(lambda: tz.m.Previous(2)),
    "Relative": Row(lambda: tz.m.Relative(1e-2)),
    "SWA": Row(lambda: tz.m.SWA(1, 2), oracle="tests/misc/test_swa.py::test_is_the_mean_of_the_parameters_sampled"),
    "SaveBest": Row(
        lambda: tz.m.SaveBest(), oracle="tests/misc/test_save_best.py::test_keeps_the_parameters_of_the_lowest_loss"
    ),
    "Sequential": Row(lambda: tz.m.Sequential([[tz.m.EMA(0.5), tz.m.LR(0.01)], tz.m.LR(0.02)], 2), oracle="golden"),
    "SkipNonFinite": Row(
        lambda: tz.m.SkipNonFinite([_adam(), tz.m.LR(0.1)], max_consecutive=2),
        oracle="tests/misc/test_skip_non_finite.py::test_a_run_with_bad_steps_is_the_run_without_them",
    ),
    "Split": Row(
        lambda: tz.m.Split(lambda x: x.ndim >= 2, [_adam(), tz.m.LR(0.1)], tz.m.EMA(0.5)),
        more=(lambda: tz.m.Split(_wide, None, tz.m.LR(0.1)),),
    ),
    "Switch": Row(lambda: tz.m.Switch(_adam(), [tz.m.EMA(0.5), tz.m.LR(0.3)], steps=2)),
    "UpdateSign": Row(lambda: tz.m.UpdateSign()),
}
