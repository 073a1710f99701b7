"""Chains whose order defeats a module are warned about, by name and with the remedy."""

import re
import warnings
from typing import Any

import pytest
import torch
from torch import nn

import torchzero as tz

DEFEATED: dict[str, tuple[list[Any], str]] = {
    "clip before L-BFGS": ([tz.m.ClipNorm(1.0), tz.m.LBFGS()], "LBFGS models curvature.*ClipNorm before it"),
    "Adam before BFGS": ([tz.m.Adam(), tz.m.BFGS(), tz.m.StrongWolfe()], "BFGS models curvature.*Adam before it"),
    "two before a diagonal update": (
        [tz.m.Sign(), tz.m.HeavyBall(0.9), tz.m.DiagonalBFGS()],
        "DiagonalBFGS models curvature.*Sign, HeavyBall before it",
    ),
    "in a nested chain": ([tz.m.Split(lambda p: True, [tz.m.Normalize(), tz.m.SR1()])], "SR1 models.*Normalize before"),
    "a direction from scratch": ([tz.m.Adam(), tz.m.FDM()], "FDM makes its direction from scratch.*Adam"),
}
SOUND: dict[str, list[Any]] = {
    "clip after": [tz.m.LBFGS(), tz.m.ClipNorm(1.0)],
    "weight decay": [tz.m.WeightDecay(1e-2), tz.m.LBFGS(), tz.m.StrongWolfe()],
    "a criterion": [tz.m.TerminateAfterNSteps(3), tz.m.LBFGS()],
    "gradients by differences": [tz.m.FDM(), tz.m.BFGS()],
    "clip before differences are warned about only there": [tz.m.SAM(), tz.m.BFGS()],
    "a scaled gradient": [tz.m.LR(0.1), tz.m.BFGS()],
    "first order": [tz.m.ClipNorm(1.0), tz.m.Adam(), tz.m.LR(0.1)],
}


@pytest.mark.parametrize("name", list(DEFEATED))
def test_a_clash_is_warned_about_at_construction(name: str) -> None:
    modules, words = DEFEATED[name]
    with pytest.warns(UserWarning, match=words) as caught:
        tz.Modular([nn.Parameter(torch.zeros(2))], *modules)
    assert all("after it" in str(w.message) for w in caught)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("name", list(SOUND))
def test_a_sound_order_is_silent(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tz.Modular([nn.Parameter(torch.zeros(2))], *SOUND[name])


def test_minimize_warns_too() -> None:
    with pytest.warns(UserWarning, match=re.escape("ClipNorm before it")):
        tz.minimize(lambda x: (x**2).sum(), torch.ones(2), [tz.m.ClipNorm(1.0), tz.m.BFGS()], max_iterations=1)
