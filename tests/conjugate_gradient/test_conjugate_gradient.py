"""Properties that theory gives to every conjugate gradient method."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchzero as tz
from tests.conjugate_gradient.oracles import BETAS

NAMES = sorted(BETAS)


def _quadratic(seed: int, n: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    a = q @ np.diag(rng.uniform(0.5, 4.0, n)) @ q.T
    return torch.from_numpy(a), torch.from_numpy(rng.normal(size=n)), torch.from_numpy(rng.normal(size=n))


def _exact_search(
    module: tz.Module, a: torch.Tensor, b: torch.Tensor, x: torch.Tensor, steps: int
) -> list[torch.Tensor]:
    """Directions on ½ x'Ax - b'x with the best step along each; `x` ends where the last of them leads."""
    params, state, out = [x[:2], x[2:]], module.init([x[:2], x[2:]]), []
    for _ in range(steps):
        x = torch.cat(params)
        g = a @ x - b
        state, var = module.step(state, tz.Var(params, grad=[g[:2], g[2:]]))
        d = torch.cat(var.update)
        out.append(d)
        x = x - (g @ d) / (d @ a @ d) * d
        params = [x[:2], x[2:]]
    return [*out, torch.cat(params)]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), n=st.integers(3, 6))
def test_a_quadratic_is_solved_in_as_many_steps_as_dimensions(name: str, seed: int, n: int) -> None:
    a, b, x = _quadratic(seed, n)
    *directions, end = _exact_search(getattr(tz.m, name)(), a, b, x, n)
    np.testing.assert_allclose(end, torch.linalg.solve(a, b), rtol=1e-6, atol=1e-6)
    for i, d in enumerate(directions[: n - 1]):
        for e in directions[:i]:  # conjugate to all before
            assert abs(d @ a @ e) <= 1e-5 * (d @ a @ d).sqrt() * (e @ a @ e).sqrt()


@pytest.mark.parametrize("name", NAMES)
def test_auto_restarts_after_one_step_more_than_there_are_elements(name: str) -> None:
    g = torch.Generator().manual_seed(1)
    p = torch.zeros(3, dtype=torch.float64)
    auto, four, never = getattr(tz.m, name)(), getattr(tz.m, name)(restart_interval=4), tz.m.DaiYuan(None)
    states = [m.init(p) for m in (auto, four, never)]
    for k in range(9):
        grad = torch.randn(3, dtype=torch.float64, generator=g)
        for i, m in enumerate((auto, four, never)):
            states[i], var = m.step(states[i], tz.Var(p, grad=grad))
            if i < 2:
                assert torch.equal(var.update, states[0].d)
                assert (k % 4 != 0) or torch.equal(var.update, grad)
        assert k == 0 or not torch.equal(states[2].d, grad)


@pytest.mark.parametrize("name", NAMES)
def test_online_compares_two_gradients_of_the_same_batch(name: str) -> None:
    a, b, x = _quadratic(3, 4)
    method = getattr(tz.m, name)(restart_interval=None, clip_beta=False)

    def batch(scale: float) -> tz.Objective:
        return tz.FunctionObjective(lambda p: 0.5 * p @ (scale * a) @ p - scale * (b @ p))

    opt = tz.m.Online(method)
    state, var = opt.step(opt.init(x), tz.Var(x, objective=batch(1.0)))
    d0, y = var.update.clone(), x - 0.1 * var.update
    state, var = opt.step(state, tz.Var(y, objective=batch(3.0)))
    g, h = 3 * (a @ y - b), 3 * (a @ x - b)
    expected = g.numpy() + BETAS[name](g.numpy(), h.numpy(), -d0.numpy()) * d0.numpy()
    np.testing.assert_allclose(var.update, expected, rtol=1e-9)


def test_inner_preconditions_both_gradients() -> None:
    p = torch.zeros(3, dtype=torch.float64)
    inside, chain = tz.m.HagerZhang(inner=tz.m.Adam()), tz.Chain(tz.m.Adam(), tz.m.HagerZhang())
    one, two = inside.init(p), chain.init(p)
    g = torch.Generator().manual_seed(2)
    for _ in range(4):
        var = tz.Var(p, grad=torch.randn(3, dtype=torch.float64, generator=g))
        one, mine = inside.step(one, var)
        two, theirs = chain.step(two, var)
        assert torch.equal(mine.update, theirs.update)


def test_the_previous_gradient_is_that_of_the_step_before_and_not_of_the_first() -> None:
    p, cg = torch.zeros(1), tz.m.PolakRibiere(clip_beta=False, restart_interval=None)
    state = cg.init(p)
    for grad in (1.0, 2.0, 3.0):
        state, var = cg.step(state, tz.Var(p, grad=torch.tensor([grad])))
    # β₂ = 2·(2-1)/1 = 2, d₂ = 2 + 2·1 = 4; β₃ = 3·(3-2)/4, d₃ = 3 + 0.75·4
    assert var.update.item() == 6.0


def test_a_step_without_change_and_one_that_overflows_do_no_lasting_harm() -> None:
    p, cg = torch.zeros(2), tz.m.HagerZhang(restart_interval=None)
    state = cg.init(p)
    for grad in ([1.0, 2.0], [1.0, 2.0], [1e30, 1e30], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]):
        state, var = cg.step(state, tz.Var(p, grad=torch.tensor(grad)))
        assert torch.isfinite(var.update).all()


@pytest.mark.parametrize("bad", [0, -1, 2.5, True, "n"])
def test_an_impossible_restart_interval_is_named(bad: object) -> None:
    with pytest.raises(ValueError, match=r"FletcherReeves\(restart_interval=.*must be a whole number of at least 1"):
        tz.m.FletcherReeves(restart_interval=bad)  # type: ignore[arg-type]
