"""What theory says of the updates, for every formula of which it is true."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import torchzero as tz

BOTH_SIDES = ["BFGS", "DFP", "SR1", "BroydenGood"]
SELF_SCALED = ["SSVM", "SSBFGS", "SSBroyden"]
SYMMETRIC_H = ["BFGS", "DFP", "SR1", "FletcherVMM", "Horisho", *SELF_SCALED]
CORRECTIONS = ["BroydenGood", "BroydenBad", "Greenstadt1", "Greenstadt2", "ICUM", "Pearson", "McCormick"]
SECANT_OF_H = [*SYMMETRIC_H, *CORRECTIONS, "ThomasOptimalMethod"]
SECANT_OF_B = [*BOTH_SIDES, "BroydenBad", "PSB"]
POSITIVE = ["BFGS", "DFP", "FletcherVMM", "DiagonalBFGS", *SELF_SCALED]
seeds = st.integers(0, 2**32 - 1)


def positive(rng: np.random.Generator, n: int) -> Tensor:
    A = rng.normal(size=(n, n))
    return torch.from_numpy(A @ A.T + 0.3 * np.eye(n))


def pairs(seed: int, convex: bool, n: int = 5, steps: int = 4) -> tuple[list[Tensor], list[Tensor]]:
    """Points, and gradients of a quadratic there, or of nothing."""
    rng = np.random.default_rng(seed)
    points = [torch.from_numpy(rng.normal(size=n)) for _ in range(steps)]
    A = positive(rng, n)
    return points, [A @ x if convex else torch.from_numpy(rng.normal(size=n)) for x in points]


def absorb(opt: tz.Module, points: list[Tensor], grads: list[Tensor]) -> list[Any]:
    """The states after every update."""
    state, out = opt.init(points[0]), []
    for x, g in zip(points, grads, strict=True):
        state = opt.update(state, tz.Var(x, grad=g, loss=torch.zeros((), dtype=x.dtype)))
        out.append(state)
    return out


def close(x: Tensor, y: Tensor, rtol: float = 1e-6) -> None:
    torch.testing.assert_close(x, y, rtol=rtol, atol=rtol * (1 + y.abs().max().item()))


@pytest.mark.parametrize("name", SECANT_OF_H)
@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0.2, 5.0))
def test_the_new_inverse_maps_y_to_s(name: str, seed: int, scale: float) -> None:
    points, grads = pairs(seed, convex=True)
    states = absorb(getattr(tz.m, name)(init_scale=scale), points, grads)
    for k in range(1, len(points)):
        close(states[k].P @ (grads[k] - grads[k - 1]), points[k] - points[k - 1])


@pytest.mark.parametrize("name", SECANT_OF_B)
@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0.2, 5.0))
def test_the_new_model_maps_s_to_y(name: str, seed: int, scale: float) -> None:
    points, grads = pairs(seed, convex=True)
    states = absorb(getattr(tz.m, name)(init_scale=scale, inverse=False), points, grads)
    for k in range(1, len(points)):
        close(states[k].P @ (points[k] - points[k - 1]), grads[k] - grads[k - 1])


@pytest.mark.parametrize("name", ["DiagonalQuasiCauchi", "DiagonalWeightedQuasiCauchi"])
@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0.2, 5.0))
def test_the_diagonal_has_the_curvature_of_the_step(name: str, seed: int, scale: float) -> None:
    points, grads = pairs(seed, convex=False)
    states = absorb(getattr(tz.m, name)(init_scale=scale), points, grads)
    for k in range(1, len(points)):
        s, y = points[k] - points[k - 1], grads[k] - grads[k - 1]
        close((states[k].P * s * s).sum(), s @ y)


@pytest.mark.parametrize("name", BOTH_SIDES)
@settings(max_examples=15)
@given(seed=seeds, scale=st.floats(0.2, 5.0))
def test_the_model_of_the_inverse_is_the_inverse_of_the_model(name: str, seed: int, scale: float) -> None:
    points, grads = pairs(seed, convex=True)
    H, B = (absorb(getattr(tz.m, name)(init_scale=scale, inverse=i), points, grads)[-1].P for i in (True, False))
    close(H @ B, torch.eye(5, dtype=torch.float64), 1e-4)


@pytest.mark.parametrize("name", SELF_SCALED)
@settings(max_examples=15)
@given(seed=seeds, beta=st.sampled_from([None, 0.4]))
def test_both_matrices_are_inverses_of_each_other(name: str, seed: int, beta: float | None) -> None:
    opt = getattr(tz.m, name)(beta=beta)
    state = absorb(opt, *pairs(seed, convex=True))[-1]
    close(state.P @ state.R, torch.eye(5, dtype=torch.float64), 1e-5)
    u = torch.linspace(-1, 1, 5, dtype=torch.float64)
    close(opt.operator(state).matvec(opt.operator(state).solve(u)), u, 1e-5)


@pytest.mark.parametrize("name", POSITIVE)
@settings(max_examples=15)
@given(seed=seeds, convex=st.booleans())
def test_a_positive_definite_matrix_remains_one(name: str, seed: int, convex: bool) -> None:
    if name in ("DFP", "FletcherVMM"):  # these learn negative curvature
        convex = True
    for state in absorb(getattr(tz.m, name)(), *pairs(seed, convex)):
        P = torch.diag(state.P) if state.P.ndim == 1 else state.P
        assert torch.linalg.eigvalsh((P + P.mT) / 2).min() > -1e-9 * P.abs().max()


@pytest.mark.parametrize("name", [*SYMMETRIC_H, "NewSSM", "ShorR"])
def test_a_symmetric_formula_gives_a_symmetric_matrix(name: str) -> None:
    P = absorb(getattr(tz.m, name)(), *pairs(3, convex=True))[-1].P
    close(P, P.mT, 1e-10)


@pytest.mark.parametrize("name", SYMMETRIC_H)
@settings(max_examples=5)
@given(seed=seeds)
def test_a_quadratic_is_minimised_in_n_exact_line_searches(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    A, b, x = positive(rng, 4), torch.from_numpy(rng.normal(size=4)), torch.from_numpy(rng.normal(size=4))
    opt = getattr(tz.m, name)(init_scale=1.0)
    state = opt.init(x)
    for _ in range(5):
        g = A @ x - b
        state, var = opt.step(state, tz.Var(x, grad=g, loss=torch.zeros((), dtype=x.dtype)))
        d = var.update
        if g.norm() > 1e-10:
            x = x - (g @ d) / (d @ A @ d) * d
    assert (A @ x - b).norm() < 1e-5 * (1 + b.norm())


def test_fletchers_method_is_bfgs_where_curvature_is_positive() -> None:
    run = pairs(5, convex=True)
    close(absorb(tz.m.FletcherVMM(), *run)[-1].P, absorb(tz.m.BFGS(), *run)[-1].P, 1e-10)


@pytest.mark.parametrize("inverse", [True, False])
@pytest.mark.parametrize("name", ["BFGS", "SR1", "DiagonalSR1", "BroydenGood"])
def test_the_direction_is_that_of_the_operator(name: str, inverse: bool) -> None:
    opt = getattr(tz.m, name)(init_scale=3.0, inverse=inverse)
    state = absorb(opt, *pairs(2, convex=True))[-1]
    u = torch.linspace(-1, 2, 5, dtype=torch.float64)
    direction = opt.apply(state, tz.Var(u, grad=u)).update
    close(opt.operator(state).solve(u), direction)
    shifted = torch.linalg.solve(opt.operator(state).to_dense() + 0.5 * torch.eye(5), u)
    close(opt.operator(state).solve_shifted(u, 0.5), shifted)


def test_each_tensor_alone_is_a_loop_over_tensors() -> None:
    rng = np.random.default_rng(0)
    params = [[torch.from_numpy(rng.normal(size=s)) for s in ((2, 3), (), (4,))] for _ in range(4)]
    grads = [[torch.from_numpy(rng.normal(size=p.shape)) for p in row] for row in params]
    opt = tz.m.BFGS(concat_params=False)
    state, together = opt.init(params[0]), []
    for p, g in zip(params, grads, strict=True):
        state, var = opt.step(state, tz.Var(p, grad=g))
        together.append(var.update)
    for i in range(3):
        alone = tz.m.BFGS()
        own = alone.init(params[0][i])
        for k in range(4):
            own, var = alone.step(own, tz.Var(params[k][i], grad=grads[k][i]))
            close(together[k][i], var.update, 1e-10)


def test_values_for_each_tensor_are_used_for_each_tensor() -> None:
    params = {"a": torch.ones(2), "b": torch.ones(2)}
    opt = tz.m.BFGS(init_scale={"a": 2.0, "b": 4.0}, concat_params=False)
    _, var = opt.step(opt.init(params), tz.Var(params, grad=params))
    assert var.update["a"].tolist() == [0.5, 0.5]
    assert var.update["b"].tolist() == [0.25, 0.25]
    with pytest.raises(ValueError, match=r"BFGS\(init_scale=.*one vector"):
        tz.m.BFGS(init_scale={"a": 2.0, "b": 4.0}).init(params)


@pytest.mark.parametrize("name", ["BFGS", "SR1", "PSB", "SSVM", "DNRTR"])
@pytest.mark.parametrize("inner", [None, tz.m.Identity()])
def test_the_model_of_tensors_by_themselves_has_their_models_as_blocks(name: str, inner: tz.Module | None) -> None:
    """Tensors of two dtypes, one without elements, and a setting of each."""
    make, scales = getattr(tz.m, name), {"z": 2.0, "a": [4.0, 3.0, 1.0]}
    rng = np.random.default_rng(1)
    dtypes = {"z": torch.float64, "a": [torch.float32, torch.float64, torch.float64]}
    shapes = {"z": (3,), "a": [(2, 2), (0,), ()]}

    def draw() -> dict[str, Any]:
        def one(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(np.asarray(rng.normal(size=shape))).to(dtype)

        return {"z": one((3,), dtypes["z"]), "a": [one(*x) for x in zip(shapes["a"], dtypes["a"], strict=True)]}

    opt = make(init_scale=scales, concat_params=False, inner=inner)
    alone = {k: make(init_scale=k) for k in (4.0, 3.0, 1.0, 2.0)}
    points = [(draw(), draw()) for _ in range(4)]
    state = opt.init(points[0][0])
    own = [m.init(x) for m, x in zip(alone.values(), sorted_leaves(points[0][0]), strict=True)]
    for p, g in points:
        state = opt.update(state, tz.Var(p, grad=g))
        rows = zip(alone.values(), own, sorted_leaves(p), sorted_leaves(g), strict=True)
        own = [m.update(s, tz.Var(x, grad=u)) for m, s, x, u in rows]
    B = opt.operator(state)
    want = torch.block_diag(*(m.operator(s).to_dense().double() for m, s in zip(alone.values(), own, strict=True)))
    close(B.to_dense(), want, 1e-6)
    x = torch.linspace(-1, 1, 8, dtype=torch.float64)
    close(B.matvec(x), want @ x, 1e-6)


def sorted_leaves(tree: dict[str, Any]) -> list[Tensor]:
    """In the order of the keys."""
    return [*tree["a"], tree["z"]]


@pytest.mark.parametrize("region", [tz.m.LevenbergMarquardt, tz.m.TrustCG, tz.m.CubicRegularization])
def test_a_region_over_models_of_tensors_skips_those_without_gradient(region: Any) -> None:
    params = [torch.tensor([2.0, -1.0]).requires_grad_(), torch.ones(3, requires_grad=True), torch.ones(2)]
    opt = tz.Modular(params, region(tz.m.BFGS(concat_params=False)))

    def closure(backward: bool = True) -> Tensor:
        loss = (params[0] ** 4).sum() + (params[0][1] + 1) ** 2 + (params[1] ** 2).sum()
        if backward:
            loss.backward()
        return loss

    for k in range(40):
        params[1].requires_grad_(k % 3 != 1)
        opt.step(closure)
    assert closure(False) < 0.35
    assert params[2].tolist() == [1, 1]


@pytest.mark.parametrize("name", ["BFGS", "SSBroyden", "ThomasOptimalMethod", "LBFGS", "LSR1", "GradientCorrection"])
def test_on_one_objective_it_makes_no_difference_to_measure_both_ends_again(name: str) -> None:
    A = torch.diag(torch.tensor([1.0, 30.0], dtype=torch.float64))
    restart = {"restart_interval": 4} if name in ("BFGS", "SSBroyden", "ThomasOptimalMethod") else {}
    ends = []
    for opt in (getattr(tz.m, name)(**restart), tz.m.Online(getattr(tz.m, name)(**restart))):
        x = torch.tensor([1.0, 1.0], dtype=torch.float64)
        state = opt.init(x)
        for _ in range(9):
            state, var = opt.step(state, tz.Var(x, objective=lambda x: 0.5 * x @ A @ x))
            x = x - 0.01 * var.update
        ends.append(x)
    close(ends[1], ends[0], 1e-9)


def test_a_singular_model_gives_a_short_step_along_the_update() -> None:
    opt = tz.m.SR1(inverse=False)
    x = torch.zeros(2, dtype=torch.float64)
    state = opt.init(x)._replace(P=torch.ones(2, 2, dtype=torch.float64))
    u = torch.tensor([3.0, 1.0], dtype=torch.float64)
    close(opt.apply(state, tz.Var(x, grad=u)).update, u / 4)


@pytest.mark.parametrize("name", ["BFGS", "SSBroyden", "DiagonalBFGS", "LBFGS", "LSR1"])
def test_a_gradient_that_is_not_finite_is_forgotten(name: str) -> None:
    opt = getattr(tz.m, name)()
    points, grads = pairs(1, convex=True, steps=6)
    grads[2] = grads[2] * float("nan")
    state = opt.init(points[0])
    for x, g in zip(points, grads, strict=True):
        state, var = opt.step(state, tz.Var(x, grad=g))
    assert torch.isfinite(var.update).all()


def test_sr1_leaves_out_the_pair_that_its_initial_scale_has_met() -> None:
    points, grads = pairs(4, convex=True, steps=2)
    state = absorb(tz.m.SR1(), points, grads)[-1]
    s, y = points[1] - points[0], grads[1] - grads[0]
    close(state.P, (s @ y) / (y @ y) * torch.eye(5, dtype=torch.float64), 1e-12)


@pytest.mark.parametrize("name", ["BFGS", "SR1", "BroydenGood", "LBFGS", "LSR1", "SSBroyden", "NewSSM", "DNRTR"])
def test_derivatives_are_finite_at_zero_gradients(name: str) -> None:
    def total(grads: Tensor, params: Tensor) -> Tensor:
        opt = getattr(tz.m, name)()
        state, out = opt.init(params[0]), torch.zeros((), dtype=torch.float64)
        for x, g in zip(params, grads, strict=True):
            state, var = opt.step(state, tz.Var(x, grad=g, loss=g.sum()))
            out = out + var.update.sum()
        return out

    points = torch.stack(pairs(0, convex=True)[0])
    for g, x in ((torch.zeros_like(points), points), (points.roll(1, 0), torch.zeros_like(points))):
        for slope in torch.func.grad(total, argnums=(0, 1))(g, x):
            assert torch.isfinite(slope).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tz.m.PSB(inverse=True), r"PSB\(inverse=True\): this formula is one of the Hessian"),
        (lambda: tz.m.ICUM(inverse=False), r"ICUM\(inverse=False\): this formula is one of the inverse"),
        (lambda: tz.m.BFGS(restart_interval=0), r"BFGS\(restart_interval=0\): must be an integer in \[1, inf\)"),
        (lambda: tz.m.BFGS(beta=1.0), r"BFGS\(beta=1.0\): must lie in \[0, 1\)"),
        (lambda: tz.m.SSVM(switch=5), r"SSVM\(switch=5\): must be 1, 2, 3, 4, or a pair"),
        (lambda: tz.m.LBFGS(damping="none"), r"LBFGS\(damping='none'\): must be one of 'powell', 'double'"),
        (lambda: tz.m.LBFGS(history_size=0), r"LBFGS\(history_size=0\): must be an integer in \[1, inf\)"),
    ],
)
def test_a_bad_argument_is_named(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
