"""Restart strategies: what is peculiar to them beyond their rules."""

from typing import Any

import pytest
import torch

import torchzero as tz


def _sums(opt: tz.Module, steps: int, params: Any = None) -> list[float]:
    p = torch.zeros(1) if params is None else params
    state, out = opt.init(p), []
    for _ in range(steps):
        state, var = opt.step(state, tz.Var(p, grad=torch.ones_like(p)))
        out.append(var.update.reshape(-1)[0].item())
    return out


def test_without_modules_all_others_of_the_chain_start_afresh_at_the_next_step() -> None:
    for chain in (
        [tz.m.RestartEvery(None, 3), tz.m.AccumulateSum()],
        [tz.m.AccumulateSum(), tz.m.RestartEvery(None, 3)],
    ):
        assert _sums(tz.Chain(*chain), 7) == [1, 2, 3, 1, 2, 3, 1]
    assert _sums(tz.m.RestartEvery(tz.m.AccumulateSum(), 3), 7) == [1, 2, 1, 2, 3, 1, 2]
    assert _sums(tz.m.RestartEvery(None, 1), 2) == [1, 1]  # alone: nothing to restart


def test_without_modules_it_reaches_no_further_than_its_own_chain() -> None:
    inside = tz.m.RestartEvery([tz.m.RestartEvery(None, 2), tz.m.AccumulateSum()], 100)
    assert _sums(tz.Chain(tz.m.AccumulateSum(), inside), 5) == [1, 3, 3, 7, 5]  # the sum before it goes on


def test_without_modules_a_restart_takes_the_parameters_of_the_step_that_it_begins() -> None:
    seen = tz.m.TerminateByUpdateNorm(n=1)
    opt = tz.Chain(tz.m.RestartEvery(None, 2), seen)
    state, flags = opt.init(torch.zeros(1)), []
    for x in (0.0, 0.0, 5.0, 5.0):
        state, var = opt.step(state, tz.Var(torch.tensor([x]), grad=torch.ones(1)))
        flags.append(bool(var.should_terminate))
    assert flags == [False, True, False, True]


def test_one_of_many_lanes_restarts() -> None:
    opt = tz.Chain(tz.m.RestartOnTerminationCriteria(None, tz.m.TerminateOnLossReached(1.0)), tz.m.AccumulateSum())

    def run(losses: torch.Tensor) -> torch.Tensor:
        p = torch.zeros(1)
        state, out = opt.init(p), []
        for loss in losses:
            state, var = opt.step(state, tz.Var(p, grad=torch.ones(1), loss=loss))
            out.append(var.update)
        return torch.cat(out)

    losses = torch.tensor([[2.0, 2.0, 2.0, 2.0], [2.0, 0.5, 2.0, 0.1]])
    assert torch.vmap(run)(losses).tolist() == [[1, 2, 3, 4], [1, 2, 1, 2]]


def test_random_modules_go_on_with_new_numbers() -> None:
    p = torch.zeros(4)
    opt = tz.m.RestartEvery(tz.m.RandomSample(seed=1), 2)
    state, draws = opt.init(p), []
    for _ in range(6):
        state, var = opt.step(state, tz.Var(p))
        draws.append(tuple(var.update.tolist()))
    assert len(set(draws)) == 6


def test_by_modular_all_others_start_afresh_and_a_checkpoint_remembers_that_they_must() -> None:
    def build() -> tuple[torch.Tensor, Any]:
        x = torch.zeros(2, requires_grad=True)
        return x, tz.Modular([x], tz.m.RestartEvery(None, 2), tz.m.AccumulateSum())

    def step(x: torch.Tensor, opt: Any) -> float:
        before = x.detach().clone()
        x.grad = torch.ones_like(x)
        opt.step()
        return (before - x.detach())[0].item()

    x, opt = build()
    assert [step(x, opt) for _ in range(2)] == [1, 2]
    y, other = build()
    other.load_state_dict(opt.state_dict())
    assert [step(x, opt) for _ in range(3)] == [step(y, other) for _ in range(3)] == [1, 2, 1]


def test_a_schedule_of_the_strategy_itself_goes_on() -> None:
    tol = tz.schedules.Linear(0.0, 2.0, steps=2)
    opt = tz.Chain(tz.m.RestartOnStuck(None, tol=tol, n_tol=1), tz.m.AccumulateSum())
    state, out = opt.init(torch.zeros(1)), []
    for k in range(5):  # every step moves by 1.5: that is more than the tolerances 0 and 1, and less than 2
        state, var = opt.step(state, tz.Var(torch.tensor([1.5 * k]), grad=torch.ones(1)))
        out.append(var.update.item())
    assert out == [1, 2, 3, 1, 2]


def test_powell_restarts_at_once_and_renews_the_direction() -> None:
    p = torch.zeros(2)
    opt = tz.m.PowellRestart(tz.m.FletcherReeves())
    state, _ = opt.step(opt.init(p), tz.Var(p, grad=torch.tensor([1.0, 0.0])))
    kept, var = opt.step(state, tz.Var(p, grad=torch.tensor([0.0, 2.0])))
    assert var.update.tolist() == [4.0, 2.0]  # orthogonal: β = 4
    assert not kept.restart
    renewed, var = opt.step(state, tz.Var(p, grad=torch.tensor([1.0, 2.0])))
    assert var.update.tolist() == [1.0, 2.0]  # 1 ≥ 0.2·5
    assert renewed.restart


def test_powell_without_modules_looks_at_the_direction_that_comes_in() -> None:
    p, opt = torch.zeros(2), tz.Chain(tz.m.LR(3.0), tz.m.PowellRestart(None, cond1=None), tz.m.AccumulateSum())
    state, out = opt.init(p), []
    for _ in range(4):
        state, var = opt.step(state, tz.Var(p, grad=torch.tensor([1.0, 0.0])))
        out.append(var.update[0].item())
    assert out == [3, 6, 3, 3]  # 3g is too long: said at step 2 and at every step from then on


def test_birgin_and_martinez_forget_at_the_step_after() -> None:
    p, opt = torch.zeros(1), tz.m.BirginMartinezRestart(tz.m.AccumulateSum(), cond=0.5)
    state, out = opt.init(p), []
    for g in (2.0, -1.0, -1.0, -1.0):
        state, var = opt.step(state, tz.Var(p, grad=torch.tensor([g])))
        out.append(var.update.item())
    assert out == [2.0, -1.0, -1.0, -2.0]


def test_a_direction_that_is_not_finite_is_given_up() -> None:
    p = torch.ones(1)
    opt = tz.m.BirginMartinezRestart(tz.m.MulByLoss())
    _, var = opt.step(opt.init(p), tz.Var(p, grad=torch.ones(1), loss=torch.tensor(float("nan"))))
    assert var.update.tolist() == [1.0]


def test_restarted_conjugate_gradients_solve_a_quadratic() -> None:
    a, x = torch.diag(torch.tensor([1.0, 3.0, 9.0, 20.0], dtype=torch.float64)), torch.ones(4, dtype=torch.float64)
    opt = tz.m.PowellRestart(tz.m.PolakRibiere(restart_interval=None))
    state = opt.init(x)
    for _ in range(4):
        state, var = opt.step(state, tz.Var(x, grad=a @ x))
        d = var.update
        x = x - (d @ a @ x) / (d @ a @ d) * d
        assert not state.restart
    assert x.abs().max() < 1e-10


@pytest.mark.parametrize("steps", [0, -3, 1.5, True, "all"])
def test_an_impossible_interval_is_named(steps: object) -> None:
    with pytest.raises(ValueError, match=r"RestartEvery\(steps=.*must be a whole number of at least 1"):
        tz.m.RestartEvery(None, steps)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="RestartEvery"):
        tz.m.RestartEvery(3, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"BirginMartinezRestart\(cond=1.5\)"):
        tz.m.BirginMartinezRestart(tz.m.LR(1.0), 1.5)
