"""Modular(deterministic=True): what was evaluated at the accepted point is not evaluated again."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import torchzero as tz

CHAINS: dict[str, Callable[[], list[Any]]] = {
    "bfgs": lambda: [tz.m.BFGS(), tz.m.StrongWolfe()],
    "lbfgs": lambda: [tz.m.LBFGS(), tz.m.StrongWolfe()],
    "cg": lambda: [tz.m.PolakRibiere(), tz.m.StrongWolfe(c2=0.1)],
    "hager-zhang": lambda: [tz.m.LBFGS(), tz.m.HagerZhangLineSearch()],
    "trust region": lambda: [tz.m.TrustCG(tz.m.BFGS())],
    "scaled afterwards": lambda: [tz.m.LBFGS(), tz.m.StrongWolfe(), tz.m.LR(0.5)],
    "no evaluation": lambda: [tz.m.Adam(), tz.m.LR(0.1)],
}


class Problem:
    """Two parameters of Rosenbrock's function, with a record of where the closure was called."""

    def __init__(self, modules: list[Any], deterministic: bool) -> None:
        self.x = nn.Parameter(torch.tensor([-1.2, 1.0, 0.3], dtype=torch.float64))
        self.y = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
        self.opt = tz.Modular([self.x, self.y], *modules, deterministic=deterministic)
        self.points: list[Tensor] = []
        self.shift = 0.0

    def closure(self, backward: bool = True) -> Tensor:
        x = torch.cat([self.x, self.y[None]])
        self.points.append(x.detach().clone())
        loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() + self.shift
        if backward:
            self.opt.zero_grad()
            loss.backward()
        return loss

    def run(self, steps: int) -> list[tuple[Any, Tensor, Tensor]]:
        out = []
        for _ in range(steps):
            loss = self.opt.step(self.closure)
            out.append((loss.item(), self.x.detach().clone(), self.y.detach().clone()))
        return out


@pytest.mark.parametrize("name", list(CHAINS))
def test_the_path_is_the_same(name: str) -> None:
    with_reuse, without = Problem(CHAINS[name](), True), Problem(CHAINS[name](), False)
    for a, b in zip(with_reuse.run(12), without.run(12), strict=True):
        assert a[0] == b[0]
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[2], b[2])
    assert with_reuse.opt.num_evaluations == len(with_reuse.points)


@pytest.mark.parametrize("name", ["bfgs", "lbfgs", "cg", "hager-zhang"])
def test_a_search_that_knows_its_end_saves_an_evaluation_a_step(name: str) -> None:
    with_reuse, without = Problem(CHAINS[name](), True), Problem(CHAINS[name](), False)
    with_reuse.run(10)
    without.run(10)
    assert len(without.points) - len(with_reuse.points) == 9
    repeated = [torch.equal(a, b) for a, b in zip(with_reuse.points[1:], with_reuse.points, strict=False)]
    assert not any(repeated)


def test_the_gradients_left_behind_are_those_of_the_point_before_the_step() -> None:
    one, two = Problem(CHAINS["bfgs"](), True), Problem(CHAINS["bfgs"](), False)
    for _ in range(4):
        one.opt.step(one.closure)
        two.opt.step(two.closure)
        assert one.x.grad is not None
        assert two.x.grad is not None
        assert torch.equal(one.x.grad, two.x.grad)
        one.x.grad.zero_()  # is nobody's memory
        two.x.grad.zero_()


@pytest.mark.parametrize("how", ["in place", "data", "load"])
def test_parameters_written_between_steps_are_evaluated_again(how: str) -> None:
    problem = Problem(CHAINS["bfgs"](), True)
    problem.run(2)
    before = len(problem.points)
    if how == "in place":
        with torch.no_grad():
            problem.x.add_(0.25)
    elif how == "data":
        problem.x.data[0] = 0.25
    else:
        problem.x.data = torch.zeros_like(problem.x)
    here = torch.cat([problem.x.detach(), problem.y.detach()[None]])
    problem.run(1)
    assert torch.equal(problem.points[before], here)


def test_a_closure_that_raises_is_forgotten() -> None:
    problem = Problem(CHAINS["bfgs"](), True)
    problem.run(2)

    def broken(backward: bool = True) -> Tensor:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        problem.opt.step(broken)
    before = len(problem.points)
    here = torch.cat([problem.x.detach(), problem.y.detach()[None]])
    problem.run(1)
    assert torch.equal(problem.points[before], here)


def test_without_the_promise_every_step_begins_with_a_call() -> None:
    problem = Problem(CHAINS["bfgs"](), False)
    problem.run(2)
    problem.shift = 10.0
    assert problem.run(1)[0][0] > 10


def test_a_copy_starts_without_what_was_known() -> None:
    problem = Problem(CHAINS["bfgs"](), True)
    problem.run(3)
    twin = copy.deepcopy(problem)
    before = len(twin.points)
    assert twin.run(3)[-1][0] == problem.run(3)[-1][0]
    assert len(twin.points) - before == len(problem.points) - before + 1


def test_a_parameter_that_joined_is_not_passed_over() -> None:
    problem = Problem(CHAINS["lbfgs"](), True)
    problem.run(3)
    new = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    plain = problem.closure

    def closure(backward: bool = True) -> Tensor:
        loss = plain(False) + ((new - 1) ** 2).sum()
        if backward:
            problem.opt.zero_grad()
            loss.backward()
        return loss

    problem.opt.add_param_group({"params": [new]})
    problem.opt.step(closure)
    assert (new != 0).all()


def test_parameters_of_another_dtype_are_evaluated_again() -> None:
    x = nn.Parameter(torch.tensor([-1.2, 1.0]))
    opt = tz.Modular([x], tz.m.StrongWolfe(), deterministic=True)
    calls = []

    def closure(backward: bool = True) -> Tensor:
        calls.append(x.dtype)
        loss = (x**4).sum()
        if backward:
            opt.zero_grad()
            loss.backward()
        return loss

    opt.step(closure)
    x.data, x.grad = x.data.double(), None
    calls.clear()
    opt.step(closure)
    assert calls[0] == torch.float64
    assert closure(False) < 0.1


def test_gradients_that_the_user_writes_into_are_not_what_is_known() -> None:
    """Also where a module ends where it began, and publishes the gradient there."""

    class Stay(tz.Module):
        """Publish x0 as the accepted point."""

        needs = frozenset({"grad", "value"})

        def init(self, params: Any) -> tuple[()]:
            return ()

        def update(self, state: Any, var: tz.Var) -> Any:
            return state

        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            still = [torch.zeros_like(g) for g in var.grad]
            return var.replace(update=type(var.update)(still, var.update.names), accepted=(var.loss, var.grad))

    problem = Problem([Stay()], True)
    problem.run(1)
    wanted = problem.x.grad.clone()
    problem.opt.zero_grad(set_to_none=False)
    problem.run(1)
    assert len(problem.points) == 1
    assert torch.equal(problem.x.grad, wanted)
    assert wanted.any()
