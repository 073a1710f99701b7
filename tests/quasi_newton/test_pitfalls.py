"""Mistakes that quasi-Newton code is known to make."""

import pytest
import torch
from torch import Tensor

import torchzero as tz
from tests.quasi_newton.rows import ROWS


def rosenbrock(x: Tensor) -> Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("name", sorted(ROWS.keys() - {"SG2", "SPSA2", "LBFGSB"}))
def test_the_strides_of_parameters_do_not_matter(name: str) -> None:
    """A transposed matrix, alone and together with others."""

    def f(p: list[Tensor]) -> Tensor:
        return (p[0] ** 2).sum() + 0.3 * (p[0] @ p[1]).sum() + ((p[1] - 1) ** 4).sum()

    g = torch.Generator().manual_seed(0)
    whole, column = torch.randn(2, 3, generator=g, dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    ends = []
    for start in ([whole.mT.contiguous(), column], [whole.clone().mT, column]):
        params = [x.requires_grad_() if x.is_contiguous() else x.detach().requires_grad_() for x in start]
        opts = [ROWS[name].make()]
        opts += [m() for m in ROWS[name].more if "concat_params" in repr(m())]
        moved = []
        for module in opts:
            leaves = [x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for x in params]
            opt = tz.Modular(leaves, module, tz.m.LR(0.02))
            for _ in range(4):

                def closure(backward: bool = True, leaves: list[Tensor] = leaves, opt: tz.Modular = opt) -> Tensor:
                    loss = f(leaves)
                    if backward:
                        opt.zero_grad()
                        loss.backward()
                    return loss

                opt.step(closure)
            moved += [x.detach() for x in leaves]
        ends.append(moved)
    assert not params[0].is_contiguous()
    for x, y in zip(*ends, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("switch", [1, 2, 3, 4])
@pytest.mark.parametrize("search", [tz.m.Backtracking, tz.m.StrongWolfe])
def test_self_scaling_converges_with_every_switch(search: type[tz.Module], switch: int) -> None:
    opt = tz.Chain(tz.m.SSVM(switch, init_scale=20.0), search())
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    state = opt.init(x)
    for _ in range(70):
        x, state = opt(x, state, rosenbrock)
    assert rosenbrock(x) < 1e-12


def test_a_loss_that_was_passed_over_is_not_compared_with() -> None:
    """Of three steps the second leaves the gradient alone: the third rise is counted from there."""
    points = [torch.tensor(x, dtype=torch.float64) for x in ([1.0, 1.0], [0.5, 0.8], [0.4, 0.4], [0.1, 0.3])]
    grads = [2 * points[0], 2 * points[1], 2 * points[1], 2 * points[3]]
    losses = [torch.tensor(f, dtype=torch.float64) for f in (5.0, 4.0, 1.0, 0.5)]

    def learn(rows: list[int], first: float) -> Tensor:
        opt = tz.m.NewSSM(init_scale=1.0)
        state = opt.init(points[0])
        for i in rows:
            loss = torch.tensor(first, dtype=torch.float64) if i == rows[0] else losses[i]
            state = opt.update(state, tz.Var(points[i], grad=grads[i], loss=loss))
        return state.P

    both = learn([0, 1, 2, 3], 5.0)
    start = tz.m.NewSSM(init_scale=1.0)
    state = start.init(points[0])
    for i in (0, 1):
        state = start.update(state, tz.Var(points[i], grad=grads[i], loss=losses[i]))
    H, s, y = state.P, points[3] - points[2], grads[3] - grads[2]
    sy = s @ y
    tau = 2 * (sy + losses[3] - losses[2]) / sy
    V = torch.eye(2, dtype=torch.float64) - torch.outer(y, s) / sy
    torch.testing.assert_close(both, V.mT @ H @ V + torch.outer(s, s) / (tau * sy))


@pytest.mark.parametrize("name", ["BFGS", "LBFGS", "SSBroyden", "DiagonalBFGS", "LSR1"])
def test_online_keeps_what_was_learned_over_many_batches(name: str) -> None:
    """The first scale is given once: a model multiplied at every step would vanish."""
    A = torch.diag(torch.tensor([1.0, 9.0], dtype=torch.float64))
    opt = tz.m.Online(getattr(tz.m, name)())
    x = torch.tensor([3.0, -1.0], dtype=torch.float64)
    state = opt.init(x)
    for i in range(30):
        shift = 0.01 * torch.sin(torch.tensor([1.0 * i, 2.0 * i], dtype=torch.float64))
        state, var = opt.step(state, tz.Var(x, objective=lambda x, shift=shift: 0.5 * (x - shift) @ A @ (x - shift)))
        x = x - 0.5 * var.update
    lowest = torch.linalg.eigvals(opt.operator(state).to_dense()).real
    assert 0.3 < lowest.min() <= lowest.max() < 30
    assert x.norm() < 0.1


@pytest.mark.parametrize("name", ["SSVM", "SSBFGS", "SSBroyden"])
def test_self_scaling_needs_a_search_that_meets_the_wolfe_conditions(name: str) -> None:
    """After steps that only decrease, along negative curvature, nothing is learned: not a matter of the formulas."""
    for search, crawls in ((tz.m.Backtracking, True), (tz.m.StrongWolfe, False)):
        x = torch.tensor([-1.2, 1.0], dtype=torch.float64)
        chain = tz.Chain(getattr(tz.m, name)(), search())
        state, curvatures = chain.init(x), []
        for _ in range(60):
            before = x
            x, state = chain(x, state, rosenbrock)
            s, y = x - before, torch.func.grad(rosenbrock)(x) - torch.func.grad(rosenbrock)(before)
            if s.norm() > 1e-7:
                curvatures.append((s @ y / (s @ s)).item())
        assert (rosenbrock(x).item() > 3) is crawls
        assert (max(curvatures[10:]) < 0) if crawls else (min(curvatures) > 0)
