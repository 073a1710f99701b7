"""Rows of the methods that look at values alone."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "CD": Row(
        lambda: tz.m.CD(0.1, grad=True, seed=1),
        "tests/zeroth_order/test_cd.py::test_agrees_with_the_rule",
        more=(
            lambda: tz.m.CD(0.1, index="random", seed=1),
            lambda: tz.m.Chain(tz.m.CD(0.1, grad=True, threepoint=False, index="cyclic", seed=1), tz.m.LR(0.1)),
        ),
    ),
    "CEM": Row(
        lambda: tz.m.CEM(0.3, population=6, elite=0.5, min_sigma=0.01, seed=1),
        "tests/zeroth_order/test_strategies.py::test_cem_agrees_with_the_paper",
    ),
    "CMAES": Row(
        lambda: tz.m.CMAES(0.3, population=5, seed=1),
        "tests/zeroth_order/test_strategies.py::test_cma_es_agrees_with_the_tutorial",
    ),
    "NelderMead": Row(tz.m.NelderMead, "tests/zeroth_order/test_nelder_mead.py::test_the_simplex_is_that_of_scipy"),
    "PGPE": Row(
        lambda: tz.m.PGPE(0.3, population=4, seed=1),
        "tests/zeroth_order/test_strategies.py::test_pgpe_agrees_with_the_paper",
        more=(lambda: tz.m.PGPE(0.3, population=4, ranking="none", lr_sigma=0.01, seed=1),),
    ),
    "SNES": Row(
        lambda: tz.m.SNES(0.3, population=5, seed=1),
        "tests/zeroth_order/test_strategies.py::test_snes_agrees_with_the_paper",
    ),
    "XNES": Row(
        lambda: tz.m.XNES(0.3, population=5, seed=1),
        "tests/zeroth_order/test_strategies.py::test_xnes_agrees_with_the_paper",
    ),
}
