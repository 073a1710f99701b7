"""The modules of quasi_newton."""

from typing import Any

from torch import Tensor

import torchzero as tz
from tests.rows import Row
from torchzero.linalg.operators import Operator


def gentle(s: Tensor, y: Tensor, g: Tensor, H: Operator) -> tuple[Tensor, Tensor]:
    """A damping of the user's own."""
    return tz.m.powell_damping(s, y, g, H, u=0.1)


def doubly(s: Tensor, y: Tensor, g: Tensor, H: Operator) -> tuple[Tensor, Tensor]:
    """A damping of the user's own."""
    return tz.m.double_damping(s, y, g, H, u1=0.3, u2=0.5)


def plain(name: str) -> Row:
    """A class that differs from others by its formula only."""
    return Row(lambda: getattr(tz.m, name)(init_scale=4.0))


def two_sided(name: str) -> Row:
    """The same with a formula of H and one of B."""
    return Row(lambda: getattr(tz.m, name)(), more=(lambda: getattr(tz.m, name)(init_scale=4.0, inverse=False),))


EVERYTHING: dict[str, Any] = {"beta": 0.3, "restart_interval": 2, "scale_first": True, "ptol_restart": True}

ROWS: dict[str, Row] = {
    "BFGS": Row(
        lambda: tz.m.BFGS(),
        more=(
            lambda: tz.m.BFGS(init_scale=4.0, inverse=False, update_freq=2),
            lambda: tz.m.BFGS(concat_params=False, **EVERYTHING),
            lambda: tz.m.BFGS(inner=tz.m.EMA(0.5), restart_interval="auto"),
        ),
    ),
    "BroydenBad": two_sided("BroydenBad"),
    "BroydenGood": two_sided("BroydenGood"),
    "DFP": two_sided("DFP"),
    "DNRTR": plain("DNRTR"),
    "DiagonalBFGS": plain("DiagonalBFGS"),
    "DiagonalQuasiCauchi": plain("DiagonalQuasiCauchi"),
    "DiagonalSR1": two_sided("DiagonalSR1"),
    "DiagonalWeightedQuasiCauchi": plain("DiagonalWeightedQuasiCauchi"),
    "FletcherVMM": plain("FletcherVMM"),
    "GradientCorrection": Row(lambda: tz.m.GradientCorrection()),
    "Greenstadt1": plain("Greenstadt1"),
    "Greenstadt2": plain("Greenstadt2"),
    "Horisho": plain("Horisho"),
    "ICUM": plain("ICUM"),
    "LBFGS": Row(
        lambda: tz.m.LBFGS(history_size=2),
        more=(
            lambda: tz.m.LBFGS(history_size=3, damping="double", update_freq=2, inner=tz.m.EMA(0.5)),
            lambda: tz.m.LBFGS(ptol=1.0, ptol_restart=True, gtol=1.0, gtol_restart=True, scale_first=False),
        ),
    ),
    "LBFGSB": Row(
        lambda: tz.m.LBFGSB(lb=-0.5, ub=0.75, history_size=3),
        "tests/quasi_newton/test_lbfgsb.py::test_cauchy_point_is_the_first_minimiser_along_the_path",
        more=(lambda: tz.m.LBFGSB(ub=1.0, history_size=2, scale_first=False), lambda: tz.m.LBFGSB()),
    ),
    "LSR1": Row(
        lambda: tz.m.LSR1(history_size=2),
        more=(lambda: tz.m.LSR1(history_size=3, scale_first=True, damping="powell", ptol=0.1, gtol=0.1),),
    ),
    "McCormick": plain("McCormick"),
    "NewDQN": plain("NewDQN"),
    "NewSSM": Row(lambda: tz.m.NewSSM(type=2)),
    "PSB": plain("PSB"),
    "Pearson": plain("Pearson"),
    "ProjectedNewtonRaphson": Row(lambda: tz.m.ProjectedNewtonRaphson(restart_interval=2)),
    "SG2": Row(
        lambda: tz.m.SG2(start_step=1, n_first_step_samples=2, seed=1, h=0.1),
        "tests/quasi_newton/test_sg2.py::test_estimates_by_their_definition",
        more=(lambda: tz.m.SG2(2, 3, 0, beta=0.5, damping=0.1, seed=2, update_freq=2, inner=tz.m.EMA(0.5)),),
    ),
    "SPSA2": Row(
        lambda: tz.m.SPSA2(seed=1, h=0.1, damping=0.5),
        "tests/quasi_newton/test_spsa2.py::test_estimates_by_their_definition",
        more=(
            lambda: tz.m.SPSA2(2, 0.2, 0.5, 0.1, abs, seed=2, inner=tz.m.EMA(0.5)),
            lambda: tz.m.SPSA2(seed=1, h=0.1, damping=5.0, use_lstsq=False),
        ),
    ),
    "SR1": two_sided("SR1"),
    "SSBFGS": Row(lambda: tz.m.SSBFGS(), more=(lambda: tz.m.SSBFGS("al_baali", beta=0.2),)),
    "SSBroyden": plain("SSBroyden"),
    "SSVM": Row(lambda: tz.m.SSVM(), more=(lambda: tz.m.SSVM(1, init_scale=4.0, restart_interval=2),)),
    "ShorR": Row(lambda: tz.m.ShorR(0.7)),
    "ThomasOptimalMethod": Row(lambda: tz.m.ThomasOptimalMethod(restart_interval=3)),
    "double_damping": Row(
        lambda: tz.m.LBFGS(damping=doubly), "tests/quasi_newton/test_damping.py::test_double_damping_by_its_definition"
    ),
    "powell_damping": Row(
        lambda: tz.m.LBFGS(damping=gentle), "tests/quasi_newton/test_damping.py::test_powell_damping_by_its_definition"
    ),
}
