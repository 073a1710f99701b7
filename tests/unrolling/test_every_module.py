"""Through unrolled steps of every differentiable module: reverse = forward = differences."""

import functools

import pytest
import torch

import torchzero as tz
from tests import registry
from torchzero.testing.hyperparameters import comfortable, replace_all, sites
from torchzero.testing.laws.grad import WIDTHS
from torchzero.testing.strategies import Objective, fill

# torch's own, when forward mode is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

STEPS = 3


def differentiable():
    """One instance of each module that the law "grad" holds for."""
    for name, (_, row) in sorted(registry.entries().items()):
        if registry.cell(name, row.make, row, "grad") == "checked":
            yield pytest.param(row.make, id=name)


PARAMS = {"a": fill(1, (2, 3)), "b": [fill(2, (3,))]}
F = Objective((fill(3, (2, 3)), fill(4, (3,))))
WEIGHTS = [fill(5, (2, 3)), fill(6, (3,))]


def outcome(make, segment, inputs):
    """A number that depends on all that the steps lead to, as a function of hyperparameters and parameters."""
    module = make()
    found = [s for s in sites(module) if not s.limits.integer]
    module = replace_all(module, found, [inputs["hyper"][s.label] for s in found])
    end = tz.unroll(tz.Chain(module, tz.m.LR(0.1)), F, inputs["params"], STEPS, segment=segment)
    last = sum((p * w).sum() for p, w in zip(tz.tree.leaves(end.params), WEIGHTS, strict=True))
    return last + 0.01 * end.losses.sum()


def admissible(found, inputs, direction, h):
    for s in found:
        at, d = inputs["hyper"][s.label].item(), direction["hyper"][s.label].item()
        if not (s.limits.admits(at - h * d) and s.limits.admits(at + h * d)):
            return False
    return True


@pytest.mark.parametrize("make", list(differentiable()))
def test_reverse_forward_and_differences_agree(make):
    torch.manual_seed(0)  # for modules that take a fresh seed
    module = make()
    make = lambda: module  # noqa: E731
    found = [s for s in sites(module) if not s.limits.integer]
    hyper = {s.label: torch.tensor(comfortable(s.value, s.limits), dtype=torch.float64) for s in found}
    inputs = {"hyper": hyper, "params": PARAMS}
    leaves, spec = tz.tree.flatten(inputs)
    direction = tz.tree.unflatten(spec, [fill(7 + i, x.shape) for i, x in enumerate(leaves)])
    f = functools.partial(outcome, make, (2, 1))
    grad, value = torch.func.grad_and_value(f)(inputs)
    assert torch.isfinite(value)
    assert value == outcome(make, None, inputs)
    slope = sum((g * d).sum() for g, d in zip(tz.tree.leaves(grad), tz.tree.leaves(direction), strict=True))
    forward = torch.func.jvp(f, (inputs,), (direction,))[1]
    torch.testing.assert_close(slope, forward, rtol=1e-7, atol=1e-9)
    tried = []
    for h in WIDTHS:
        if not admissible(found, inputs, direction, h):
            continue
        up, down = (tz.tree.map(lambda x, d, h=h: x + h * d, inputs, direction) for h in (h, -h))
        rise = (outcome(make, None, up) - outcome(make, None, down)) / (2 * h)
        if abs(rise - slope) <= 3e-5 * max(abs(rise), abs(slope)) + 1e-8 * (1 + abs(value)):
            return
        tried.append(rise.item())
    assert tried
    raise AssertionError(f"the derivative is {slope.item():.9g}, by differences {tried}")
