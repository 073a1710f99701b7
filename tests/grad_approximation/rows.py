"""The gradient approximators in the registry."""

import torchzero as tz
from tests.rows import Row

HERE = "tests/grad_approximation/test_grad_approximation.py"
RANDOM = f"{HERE}::test_differences_along_random_directions_are_those_of_a_loop"
ROUNDING = {
    "shell": "a function is evaluated at many points at once and a closure at one after the other, which round "
    "differently; a test compares them to a tolerance",
}


ROWS: dict[str, Row] = {
    "FDM": Row(
        lambda: tz.m.FDM(0.1, "forward"),
        f"{HERE}::test_differences_along_coordinates_are_those_of_a_loop",
        ROUNDING,
        more=(lambda: tz.m.FDM(0.1, "central4", "grad"), lambda: tz.m.FDM(0.1, "backward3", "update")),
    ),
    "ForwardGradient": Row(
        lambda: tz.m.ForwardGradient(2, seed=1),
        f"{HERE}::test_derivatives_along_random_directions_are_those_of_the_gradient",
        ROUNDING,
        more=(lambda: tz.m.ForwardGradient(2, "sphere", jvp_method="central", h=0.1, target="update", seed=1),),
    ),
    "GaussianSmoothing": Row(lambda: tz.m.GaussianSmoothing(0.1, 3, seed=1), RANDOM, ROUNDING),
    "MeZO": Row(lambda: tz.m.MeZO(0.1, 2, seed=1), RANDOM, ROUNDING),
    "RDSA": Row(lambda: tz.m.RDSA(0.1, 2, seed=1), RANDOM, ROUNDING),
    "RandomizedFDM": Row(
        lambda: tz.m.RandomizedFDM(0.1, 2, seed=1),
        RANDOM,
        ROUNDING,
        more=(
            lambda: tz.m.RandomizedFDM(0.1, 2, "forward3", "uniform", seed=1, target="grad"),
            lambda: tz.m.RandomizedFDM(0.1, 2, "backward", "sphere", return_approx_loss=True, seed=1),
        ),
    ),
    "SPSA": Row(lambda: tz.m.SPSA(0.1, seed=1), RANDOM, ROUNDING),
    "SPSA1": Row(lambda: tz.m.SPSA1(0.1, 2, 0.3, pre_generate=True, seed=1), RANDOM, ROUNDING),
}
