"""Rows of the objective maps."""

import torch

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "ASAM": Row(
        lambda: tz.m.ASAM(rho=0.3),
        "tests/objective_maps/test_sam.py::test_agrees_with_the_paper",
        more=(lambda: tz.m.Chain(tz.m.ASAM(rho=0.2, p=3), tz.m.LR(0.1)),),
    ),
    "ExpHomotopy": Row(
        lambda: tz.m.Chain(tz.m.FixedLossHomotopy(2.0), tz.m.ExpHomotopy()),
        "tests/objective_maps/test_homotopies.py::test_is_the_function_of_the_loss",
    ),
    "FixedLossHomotopy": Row(
        lambda: tz.m.FixedLossHomotopy(0.7),
        "tests/objective_maps/test_homotopies.py::test_a_fixed_loss_has_the_gradient_of_its_logarithm",
    ),
    "GradientSampling": Row(
        lambda: tz.m.GradientSampling(sigma=0.3, n=3, seed=1),
        "tests/objective_maps/test_gradient_sampling.py::test_gathers_what_the_samples_say",
        more=(
            lambda: tz.m.GradientSampling(
                [tz.m.HeavyBall(0.5), tz.m.LR(0.1)], 0.3, 3, "max", include_x0=False, fixed=False, seed=1
            ),
            lambda: tz.m.GradientSampling(
                sigma=0.3, n=2, aggregate="min-norm", pre_generate=False, sigma_strategy="value", seed=1
            ),
        ),
    ),
    "LambdaHomotopy": Row(lambda: tz.m.LambdaHomotopy(torch.tanh), "golden"),
    "LogHomotopy": Row(tz.m.LogHomotopy, "golden"),
    "MSAM": Row(
        lambda: tz.m.MSAM(tz.m.Adam(0.8, 0.9), momentum=0.8, rho=0.2, weight_decay=0.1),
        "tests/objective_maps/test_msam.py::test_agrees_with_the_paper_around_an_optimizer",
        more=(lambda: tz.m.MSAM([tz.m.ClipNorm(1.0), tz.m.LR(0.1)], nesterov=True, lerp=True),),
    ),
    "MSAMMomentum": Row(
        lambda: tz.m.MSAMMomentum(0.1, momentum=0.8, rho=0.2, weight_decay=0.1),
        more=(lambda: tz.m.MSAMMomentum(0.1, nesterov=True, lerp=True),),
    ),
    "PerturbWeights": Row(
        lambda: tz.m.PerturbWeights(0.2, seed=1),
        "tests/objective_maps/test_random_maps.py::test_perturbed_weights_are_those_of_the_formula",
        more=(lambda: tz.m.PerturbWeights(0.2, relative=False, distribution="sphere", seed=1),),
    ),
    "SAM": Row(
        lambda: tz.m.SAM(rho=0.2),
        "tests/objective_maps/test_sam.py::test_agrees_with_the_paper",
        more=(lambda: tz.m.Chain(tz.m.SAM(rho=0.2, p=3, asam=True), tz.m.LR(0.1)),),
    ),
    "SVRG": Row(
        lambda: tz.m.SVRG(svrg_steps=2, alpha=0.8),
        "tests/objective_maps/test_svrg.py::test_agrees_with_the_paper",
        more=(lambda: tz.m.SVRG(2, 1, modules=[tz.m.HeavyBall(0.5), tz.m.LR(0.1)], reset_before_accum=False),),
    ),
    "SqrtHomotopy": Row(tz.m.SqrtHomotopy, "golden"),
    "SquareHomotopy": Row(tz.m.SquareHomotopy, "golden"),
    "WeightDropout": Row(
        lambda: tz.m.WeightDropout(0.4, seed=1),
        "tests/objective_maps/test_random_maps.py::test_dropped_weights_are_those_of_the_formula",
    ),
}
