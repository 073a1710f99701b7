"""Closures that raise, give what is not finite, return other things than losses, or change their graph.

Checked for every module that evaluates: line searches, trust regions, least squares, second-order and quasi-Newton
methods, gradient estimates, objective maps, restarts and wrapped optimizers.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests import registry
from tests.stateful.toys import equal, values

FAMILIES = {
    "conjugate_gradient",
    "grad_approximation",
    "least_squares",
    "line_search",
    "objective_maps",
    "quasi_newton",
    "restarts",
    "second_order",
    "trust_region",
    "wrappers",
    "zeroth_order",
}
INSTANCES = {
    name: make for name, make, _ in registry.instances() if registry.entries()[name.split(".")[0]].family in FAMILIES
}
# These compare a trial with x0 before they move there.
JUDGING = sorted(
    name
    for name in INSTANCES
    if registry.entries()[name.split(".")[0]].family in ("line_search", "trust_region")
    or name.startswith("NewtonCGSteihaug")
)


def start() -> list[Tensor]:
    """Parameters: (2,), (1, 1), and one that no loss depends on."""
    points = ([0.7, -0.4], [[0.3]], [1.0, 2.0])
    return [torch.tensor(p, dtype=torch.float64).requires_grad_() for p in points]


def residuals(p: list[Tensor], i: int) -> Tensor:
    x, y = p[:2]
    return torch.stack(
        [
            x[0] - 0.1 * i,
            2 * x[1] + 0.3 * x[0] ** 2,
            (x[0] * y).sum(),
            (y - 0.5).sum() ** 2 + 1,
            torch.sin(3 * x[1] + i),
        ]
    )


class Closure:
    """The closure on batch `i`, which fails at the call number `at`.

    kind: "loss", "float", "residuals", or "graph" for one whose graph is another one at every call.
    """

    def __init__(self, p: list[Tensor], i: int, kind: str = "loss") -> None:
        self.p, self.i, self.kind = p, i, kind
        self.at, self.error, self.late, self.factor = 0, None, False, 1.0
        self.points: list[list[Tensor]] = []
        self.graded: list[bool] = []

    def failing(self, at: int, error: Any = None, late: bool = False, factor: float = 1.0) -> "Closure":
        self.at, self.error, self.late, self.factor = at, error, late, factor
        return self

    def __call__(self, backward: bool = True) -> Any:
        self.points.append(values(self.p))
        self.graded.append(backward)
        now = len(self.points) == self.at
        if now and self.error is not None and not self.late:
            raise self.error
        p = self.p
        if self.kind == "graph" and len(self.points) % 3 == 0:
            p = [x.clone() for x in p]
        r = residuals(p, self.i)
        loss = 0.5 * (r * r).sum() * (self.factor if now else 1.0)
        if self.kind == "graph" and len(self.points) % 3 == 1:
            loss = loss + 0 * self.p[2].sum()
        if backward:
            for x in self.p:
                x.grad = None
            ((r * r).sum() if self.kind == "residuals" else loss).backward()
        if now and self.error is not None:
            raise self.error
        return {"float": loss.item(), "residuals": r}.get(self.kind, loss)


def plain(x: Any) -> Any:
    """Tensors as lists, so that NaN and -0.0 are compared as they are printed."""
    if isinstance(x, Tensor):
        return x.dtype, repr(x.tolist())
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, list | tuple) else x


def after(make: Callable[[], tz.Module], steps: int) -> tuple[list[Tensor], tz.Modular]:
    p = start()
    opt = tz.Modular(p, make())
    for i in range(steps):
        opt.step(Closure(p, i))
    return p, opt


class OutOfDataError(Exception):
    """What a closure raises."""


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_a_closure_that_raises_at_any_call_changes_nothing(name: str) -> None:
    """Parameters and state are as before, bit for bit; and the next step is as if nothing had been."""
    p, opt = after(INSTANCES[name], 2)
    closure = Closure(p, 2)
    opt.step(closure)
    moved = values(p)
    calls = range(1, len(closure.points) + 1)
    p, opt = after(INSTANCES[name], 2)
    x0, state = values(p), plain(opt.state_dict()["state"])
    for k in [*calls[:5], *calls[5:][-1:]]:
        error = KeyboardInterrupt() if k % 2 else OutOfDataError()
        with pytest.raises(type(error)) as seen:
            opt.step(Closure(p, 2).failing(k, error, late=k % 3 == 0))
        assert seen.value is error
        assert equal(p, x0)
        assert plain(opt.state_dict()["state"]) == state
        assert opt.current_step == 2
    opt.step(Closure(p, 2))
    assert plain(values(p)) == plain(moved)


@pytest.mark.parametrize("name", JUDGING)
def test_a_trial_that_is_not_finite_is_never_where_the_parameters_end(name: str) -> None:
    p, opt = after(INSTANCES[name], 2)
    closure = Closure(p, 2)
    opt.step(closure)
    calls = range(1, min(len(closure.points), 4) + 1)
    for k, factor in itertools.product(calls, (math.nan, math.inf, -math.inf)):
        p, opt = after(INSTANCES[name], 2)
        x0, closure = values(p), Closure(p, 2).failing(k, factor=factor)
        opt.step(closure)
        assert all(torch.isfinite(x).all() for x in p)
        if len(closure.points) >= k and not equal(closure.points[k - 1], x0):
            assert not equal(p, closure.points[k - 1])
        for i in range(3, 6):
            opt.step(Closure(p, i))
        assert all(torch.isfinite(x).all() for x in p)


def agree(a: list[Tensor], b: list[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x.detach(), y.detach(), rtol=1e-9, atol=1e-9 * y.detach().abs().max().item())


# Their Hessian is that of the residuals, which a loss does not show.
OF_RESIDUALS = ("GaussNewton", "LevenbergMarquardt.1", "ExactTrustRegion.1")
# A gradient of zero decays the weights; one that is None skips the parameter.
DECAYS = ("MSAM", "MSAMMomentum")


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_what_a_closure_returns_and_how_it_is_computed_makes_no_difference(name: str) -> None:
    """A float or residuals in place of the loss, another graph at every call, gradients that are None."""
    wanted, _ = after(INSTANCES[name], 3)
    for kind in ("float", "residuals", "graph"):
        if (kind == "residuals" and name.startswith(OF_RESIDUALS)) or (kind == "graph" and name in DECAYS):
            continue
        p = start()
        opt, refused = tz.Modular(p, INSTANCES[name]()), ""
        try:
            for i in range(3):
                opt.step(Closure(p, i, kind))
        except RuntimeError as error:
            refused = str(error)
        if refused:
            assert kind == "float"
            assert "return the loss itself, not loss.item()" in refused
            assert equal(p, start())
        else:
            agree(p, wanted)


ESTIMATES = sorted(
    name
    for name in INSTANCES
    if registry.entries()[name.split(".")[0]].family in ("grad_approximation", "zeroth_order")
)


@pytest.mark.parametrize("name", [*ESTIMATES, "SPSA2"])
def test_an_estimate_never_asks_for_a_backward_pass(name: str) -> None:
    p = start()
    opt = tz.Modular(p, INSTANCES[name](), tz.m.Adam(), tz.m.StepSize(0.01))
    for i in range(3):
        closure = Closure(p, i)
        opt.step(closure)
        assert closure.graded
        assert not any(closure.graded)
    assert all(x.grad is None for x in p)


@pytest.mark.parametrize("name", sorted(INSTANCES))
def test_gradients_are_cleared_before_every_backward_pass(name: str) -> None:
    """By a closure that never does it itself."""
    wanted, _ = after(INSTANCES[name], 3)
    p = start()
    opt = tz.Modular(p, INSTANCES[name]())
    for i in range(3):

        def forgetful(backward: bool = True, i: int = i) -> Tensor:
            r = residuals(p, i)
            loss = 0.5 * (r * r).sum()
            if backward:
                assert all(x.grad is None or not x.grad.any() for x in p)
                loss.backward()
            return loss

        opt.step(forgetful)
    assert plain(values(p)) == plain(values(wanted))


@pytest.mark.parametrize("method", ["autograd", "fd_forward", "fd_central"])
@pytest.mark.parametrize("name", ["NewtonCG", "NewtonCGSteihaug", "NystromPCG", "NystromSketchAndSolve"])
def test_products_with_the_hessian_agree_however_they_are_made(name: str, method: str) -> None:
    """By double backward through the closure, and by differences of gradients."""
    more: dict[str, Any] = {"seed": 0, "rank": 3} if name.startswith("Nystrom") else {}
    more |= {"reg": 1.0} if name != "NystromSketchAndSolve" else {"reg": 10.0}

    def run(method: str, h: float) -> list[Tensor]:
        p = start()[:2]
        opt = tz.Modular(p, getattr(tz.m, name)(hvp_method=method, h=h, **more))
        for i in range(3):
            opt.step(Closure([*p, p[0]], i))
        return p

    tolerance = {"autograd": 1e-12, "fd_forward": 1e-4, "fd_central": 1e-6}[method]
    for x, y in zip(run(method, 1e-6 if method == "fd_forward" else 1e-5), run("autograd", 1.0), strict=True):
        torch.testing.assert_close(x.detach(), y.detach(), rtol=tolerance, atol=tolerance)
