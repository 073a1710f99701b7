"""Strategies: published updates in NumPy on the same draws, convergence, and what ask and tell promise."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from torch import Tensor

import torchzero as tz

Array = np.ndarray[Any, Any]
N = 4


def f(x: Array) -> Array:
    """A bent valley; rows are points."""
    return ((x - 1) ** 2 * (1 + np.arange(x.shape[-1]))).sum(-1) + 0.3 * np.sin(3 * x).sum(-1)


def follow(
    strategy: tz.m.Strategy,
    seed: int,
    step: Callable[[Array, Array], dict[str, Array]],
    steps: int = 5,
    loss: Callable[[Array], Array] = f,
) -> None:
    """Give the reference the population that was asked, and compare what both made of it."""
    start = np.random.default_rng(seed).normal(size=N)
    state = strategy.init(torch.from_numpy(start.copy()), tz.random.key(seed))
    for k in range(steps):
        population, state = strategy.ask(state)
        values = loss(population.numpy())
        state = strategy.tell(state, population, torch.from_numpy(values))
        wanted = step(population.numpy(), values)
        for name, value in wanted.items():
            np.testing.assert_allclose(getattr(state, name), value, rtol=1e-8, atol=1e-10, err_msg=f"{name}, step {k}")


def begin(seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=N)


def tutorial_weights(lam: int, active: bool) -> tuple[Array, dict[str, float]]:
    """Table 1 of the tutorial, for n = N: the weights w_1 ... w_λ, and what else depends on n and λ alone."""
    raw = np.array([np.log((lam + 1) / 2) - np.log(i) for i in range(1, lam + 1)])
    mu = lam // 2
    mueff = raw[:mu].sum() ** 2 / (raw[:mu] ** 2).sum()
    mueff_minus = raw[mu:].sum() ** 2 / (raw[mu:] ** 2).sum()
    c1 = 2 / ((N + 1.3) ** 2 + mueff)
    cmu = min(1 - c1, 2 * (0.25 + mueff + 1 / mueff - 2) / ((N + 2) ** 2 + 2 * mueff / 2))
    least = min(1 + c1 / cmu, 1 + 2 * mueff_minus / (mueff + 2), (1 - c1 - cmu) / (N * cmu))
    w = np.where(raw >= 0, raw / raw[raw > 0].sum(), raw * least / -raw[raw < 0].sum() if active else 0)
    cs = (mueff + 2) / (N + mueff + 5)
    damps = 1 + 2 * max(0, np.sqrt((mueff - 1) / (N + 1)) - 1) + cs
    cc = (4 + mueff / N) / (N + 4 + 2 * mueff / N)
    return w, {"mu": mu, "mueff": mueff, "c1": c1, "cmu": cmu, "cs": cs, "damps": damps, "cc": cc}


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    sigma=st.floats(0.1, 2),
    size=st.one_of(st.none(), st.integers(2, 15)),
    active=st.booleans(),
)
def test_cma_es_agrees_with_the_tutorial(seed: int, sigma: float, size: int | None, active: bool) -> None:
    lam = 4 + int(3 * np.log(N)) if size is None else size
    w, k = tutorial_weights(lam, active)
    mu, mueff, c1, cmu, cs, cc = (k[name] for name in ("mu", "mueff", "c1", "cmu", "cs", "cc"))
    chi = np.sqrt(N) * (1 - 1 / (4 * N) + 1 / (21 * N**2))
    now: dict[str, Any] = {"mean": begin(seed), "sigma": sigma, "C": np.eye(N), "g": 0}
    now |= {"path_sigma": np.zeros(N), "path_c": np.zeros(N)}

    def step(x: Array, values: Array) -> dict[str, Array]:
        assert len(x) == lam
        y = (x[np.argsort(values)] - now["mean"]) / now["sigma"]
        yw = sum(w[i] * y[i] for i in range(int(mu)))
        eigenvalues, B = np.linalg.eigh(now["C"])
        invsqrt = B @ np.diag(eigenvalues**-0.5) @ B.T
        ps = (1 - cs) * now["path_sigma"] + np.sqrt(cs * (2 - cs) * mueff) * invsqrt @ yw
        now["g"] += 1
        h = np.linalg.norm(ps) / np.sqrt(1 - (1 - cs) ** (2 * now["g"])) < (1.4 + 2 / (N + 1)) * chi
        pc = (1 - cc) * now["path_c"] + h * np.sqrt(cc * (2 - cc) * mueff) * yw
        delta = (1 - h) * cc * (2 - cc)
        C = (1 + c1 * delta - c1 - cmu * w.sum()) * now["C"] + c1 * np.outer(pc, pc)
        for wi, yi in zip(w, y, strict=True):
            C += cmu * (wi if wi >= 0 else wi * N / np.linalg.norm(invsqrt @ yi) ** 2) * np.outer(yi, yi)
        now["C"] = C
        now["mean"] = now["mean"] + now["sigma"] * yw
        now["sigma"] *= np.exp(cs / k["damps"] * (np.linalg.norm(ps) / chi - 1))
        now["path_sigma"], now["path_c"] = ps, pc
        return {name: v for name, v in now.items() if name != "g"}

    follow(tz.m.CMAES(sigma, size, active, seed=0), seed, step, 8)


def utilities(lam: int) -> Array:
    raw = np.maximum(0, np.log(lam / 2 + 1) - np.log(np.arange(1, lam + 1)))
    return raw / raw.sum() - 1 / lam


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    sigma=st.floats(0.1, 2),
    size=st.one_of(st.none(), st.integers(2, 12)),
    lr_mean=st.floats(0.1, 2),
    lr_sigma=st.one_of(st.none(), st.floats(0, 1)),
)
def test_snes_agrees_with_the_paper(
    seed: int, sigma: float, size: int | None, lr_mean: float, lr_sigma: float | None
) -> None:
    now = {"mean": begin(seed), "sigma": np.full(N, sigma)}
    eta = (3 + np.log(N)) / (5 * np.sqrt(N)) if lr_sigma is None else lr_sigma

    def step(x: Array, values: Array) -> dict[str, Array]:
        assert len(x) == (size or 4 + int(3 * np.log(N)))
        s = (x[np.argsort(values)] - now["mean"]) / now["sigma"]
        u = utilities(len(x))
        now["mean"] = now["mean"] + lr_mean * now["sigma"] * sum(a * b for a, b in zip(u, s, strict=True))
        now["sigma"] = now["sigma"] * np.exp(eta / 2 * sum(a * (b**2 - 1) for a, b in zip(u, s, strict=True)))
        return now

    follow(tz.m.SNES(sigma, size, lr_mean, lr_sigma, seed=0), seed, step)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    sigma=st.floats(0.1, 2),
    size=st.one_of(st.none(), st.integers(2, 12)),
    lr_mean=st.floats(0.1, 2),
    lr_sigma=st.one_of(st.none(), st.floats(0, 1)),
    lr_shape=st.one_of(st.none(), st.floats(0, 0.5)),
)
def test_xnes_agrees_with_the_paper(
    seed: int, sigma: float, size: int | None, lr_mean: float, lr_sigma: float | None, lr_shape: float | None
) -> None:
    now: dict[str, Any] = {"mean": begin(seed), "sigma": sigma, "B": np.eye(N)}
    default = 3 / 5 * (3 + np.log(N)) / (N * np.sqrt(N))

    def step(x: Array, values: Array) -> dict[str, Array]:
        s = (x[np.argsort(values)] - now["mean"]) @ np.linalg.inv(now["B"]).T / now["sigma"]
        u = utilities(len(x))
        g_delta = sum(a * b for a, b in zip(u, s, strict=True))
        g_m = sum(a * (np.outer(b, b) - np.eye(N)) for a, b in zip(u, s, strict=True))
        g_sigma = np.trace(g_m) / N
        g_b = g_m - g_sigma * np.eye(N)
        now["mean"] = now["mean"] + lr_mean * now["sigma"] * now["B"] @ g_delta
        now["sigma"] = now["sigma"] * np.exp((default if lr_sigma is None else lr_sigma) / 2 * g_sigma)
        now["B"] = now["B"] @ linalg.expm((default if lr_shape is None else lr_shape) / 2 * g_b)
        return now

    strategy = tz.m.XNES(sigma, size, lr_mean, lr_sigma, lr_shape, seed=0)
    follow(strategy, seed, step)
    state = strategy.init(torch.zeros(3, dtype=torch.float64))
    for _ in range(10):
        population, state = strategy.ask(state)
        state = strategy.tell(state, population, torch.from_numpy(f(population.numpy())))
    assert torch.linalg.det(state.B).item() == pytest.approx(1.0)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 999),
    sigma=st.floats(0.1, 2),
    pairs=st.integers(1, 6),
    lr_mean=st.floats(0.1, 2),
    lr_sigma=st.floats(0, 1),
    symmetric=st.booleans(),
    ranking=st.sampled_from(["centered", "none"]),
    change=st.floats(0.05, 0.9),
    ties=st.booleans(),
)
def test_pgpe_agrees_with_the_paper(
    seed: int,
    sigma: float,
    pairs: int,
    lr_mean: float,
    lr_sigma: float,
    symmetric: bool,
    ranking: str,
    change: float,
    ties: bool,
) -> None:
    now = {"mean": begin(seed), "sigma": np.full(N, sigma)}
    if ranking == "none":  # the loss itself would drive the mean far off
        lr_mean, lr_sigma = lr_mean / 50, lr_sigma / 50

    def step(x: Array, values: Array) -> dict[str, Array]:
        m, s = now["mean"], now["sigma"]
        r = -values
        if ranking == "centered":
            r = (stats.rankdata(r) - 1) / (2 * pairs - 1) - 0.5
        dm, ds = np.zeros(N), np.zeros(N)
        if symmetric:
            np.testing.assert_allclose(x[:pairs] - m, m - x[pairs:], atol=1e-12)
            for i in range(pairs):
                eps, plus, minus = x[i] - m, r[i], r[i + pairs]
                dm += eps * (plus - minus) / 2 / pairs
                ds += (eps**2 - s**2) / s * ((plus + minus) / 2 - r.mean()) / pairs
        else:
            assert len({*np.abs(x - m).ravel()}) == x.size
            for xi, ri in zip(x, r, strict=True):
                dm += (xi - m) * (ri - r.mean()) / len(x)
                ds += ((xi - m) ** 2 - s**2) / s * (ri - r.mean()) / len(x)
        now["mean"] = m + lr_mean * dm
        now["sigma"] = s + np.clip(lr_sigma * ds, -change * s, change * s)
        return now

    strategy = tz.m.PGPE(sigma, 2 * pairs, lr_mean, lr_sigma, symmetric, ranking, change, seed=0)
    follow(strategy, seed, step, loss=(lambda x: np.round(f(x) / 5)) if ties else f)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 999),
    sigma=st.floats(0.1, 2),
    size=st.integers(2, 20),
    elite=st.floats(0.05, 1),
    alpha=st.floats(0.1, 1),
    least=st.floats(0, 0.5),
)
def test_cem_agrees_with_the_paper(
    seed: int, sigma: float, size: int, elite: float, alpha: float, least: float
) -> None:
    now = {"mean": begin(seed), "sigma": np.full(N, sigma)}

    def step(x: Array, values: Array) -> dict[str, Array]:
        chosen = x[np.argsort(values)[: max(1, round(elite * size))]]
        now["mean"] = alpha * chosen.mean(0) + (1 - alpha) * now["mean"]
        now["sigma"] = np.maximum(alpha * chosen.std(0) + (1 - alpha) * now["sigma"], least)
        return now

    follow(tz.m.CEM(sigma, size, elite, alpha, least, seed=0), seed, step)


# ---------------------------------------------------------------------- what holds for all

STRATEGIES: dict[str, tz.m.Strategy] = {
    "CMAES": tz.m.CMAES(0.5, seed=0),
    "SNES": tz.m.SNES(0.5, seed=0),
    "XNES": tz.m.XNES(0.5, seed=0),
    "PGPE": tz.m.PGPE(0.5, seed=0),
    "CEM": tz.m.CEM(1.0, seed=0),
    "NelderMead": tz.m.NelderMead(),
}
SAMPLERS = [name for name in STRATEGIES if name != "NelderMead"]
START: Any = {"a": torch.tensor([[1.0, -1.0]], dtype=torch.float64), "b": [torch.tensor(0.5, dtype=torch.float64)]}


def sphere(p: Any) -> Tensor:
    return (p["a"] ** 2).sum() + (p["b"][0] - 2) ** 2


def rosenbrock(x: Tensor) -> Tensor:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_population_is_a_tree_with_a_leading_dimension(name: str) -> None:
    strategy = STRATEGIES[name]
    state = strategy.init(START, tz.random.key(1))
    population, state = strategy.ask(state)
    n = strategy.points(3)
    assert population["a"].shape == (n, 1, 2)
    assert population["b"][0].shape == (n,)
    again, _ = strategy.ask(state)
    assert torch.equal(again["a"], population["a"])


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_best_point_told_is_remembered(name: str) -> None:
    strategy = STRATEGIES[name]
    state = strategy.init(START)
    assert strategy.best(state).f == torch.inf
    told = []
    for k in range(12):
        population, state = strategy.ask(state)
        values = torch.vmap(sphere)(population)
        if k % 3 == 1:
            failure = (torch.nan, -torch.inf, torch.inf, torch.nan)[k // 3]
            values = torch.where(torch.arange(len(values)) == 0, failure, values)
        state = strategy.tell(state, population, values)
        told += [v for v in values.tolist() if math.isfinite(v)]
        x, best = strategy.best(state)
        assert best.item() == min(told)
        assert sphere(x).item() == pytest.approx(min(told), rel=1e-12)
        assert all(bool(torch.isfinite(t).all()) for t in tz.tree.leaves(strategy.target(state)))


@pytest.mark.parametrize(("name", "steps", "tol"), [
    ("CMAES", 150, 1e-4), ("SNES", 200, 1e-4), ("XNES", 200, 1e-4), ("PGPE", 500, 0.15), ("CEM", 60, 1e-2),
    ("NelderMead", 120, 1e-4),
])  # fmt: skip
def test_a_chain_finds_the_minimum_of_a_sphere(name: str, steps: int, tol: float) -> None:
    p, opt = START, tz.Chain(STRATEGIES[name])
    state = opt.init(p)
    for _ in range(steps):
        p, state = opt(p, state, sphere)
    assert sphere(p) < tol**2 * 3


@pytest.mark.parametrize(("name", "steps"), [("CMAES", 200), ("XNES", 400), ("NelderMead", 150)])
def test_the_curved_valley_is_followed_to_its_end(name: str, steps: int) -> None:
    p, opt = torch.tensor([-1.2, 1.0], dtype=torch.float64), STRATEGIES[name]
    state = opt.init(p)
    for _ in range(steps):
        p, state = opt(p, state, rosenbrock)
    torch.testing.assert_close(p, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_search_that_is_as_narrow_as_rounding_stays_finite(name: str) -> None:
    p, opt = torch.tensor([1.5, -2.5]), STRATEGIES[name]
    state = opt.init(p)
    for _ in range({"PGPE": 400, "CEM": 250}.get(name, 160)):
        p, state = opt(p, state, lambda x: ((x - 1) ** 2).sum())
    extent = opt.extent(state)
    assert extent is not None
    assert extent < 1e-7
    assert all(bool(torch.isfinite(x).all()) for x in tz.tree.leaves(state))


@pytest.mark.parametrize("name", SAMPLERS)
def test_points_may_be_changed_before_they_are_told(name: str) -> None:
    """Projection onto x ≥ 1: the distribution learns from the points that were evaluated."""
    strategy, x = STRATEGIES[name], torch.full((3,), 1.5, dtype=torch.float64)
    state = strategy.init(x)
    for _ in range(120):
        population, state = strategy.ask(state)
        population = population.clamp_min(1)
        state = strategy.tell(state, population, (population**2).sum(1))
    assert strategy.best(state).f.item() == pytest.approx(3.0, abs=0.05)


def tilted(y: Tensor) -> Tensor:
    return ((y - 1) ** 2 * torch.tensor([1.0, 10.0, 100.0], dtype=y.dtype)).sum()


def evolve(strategy: tz.m.Strategy, x: Tensor, g: Callable[[Tensor], Tensor], steps: int = 15) -> Any:
    state = strategy.init(x, tz.random.key(3))
    for _ in range(steps):
        population, state = strategy.ask(state)
        state = strategy.tell(state, population, torch.vmap(g)(population))
    return state


@pytest.mark.parametrize("name", STRATEGIES)
def test_an_increasing_map_of_the_loss_changes_nothing(name: str) -> None:
    x, strategy = torch.tensor([0.3, -1.2, 2.0], dtype=torch.float64), STRATEGIES[name]
    plain = evolve(strategy, x, tilted)
    bent = evolve(strategy, x, lambda y: torch.exp(0.01 * tilted(y)) - 3)
    torch.testing.assert_close(strategy.target(bent), strategy.target(plain), rtol=1e-12, atol=0)
    assert not torch.allclose(strategy.target(plain), x)


@pytest.mark.parametrize("name", SAMPLERS)
def test_moving_the_origin_moves_the_search(name: str) -> None:
    x, c, strategy = torch.tensor([0.3, -1.2, 2.0]).double(), torch.tensor([5.0, -7.0, 0.5]).double(), STRATEGIES[name]
    plain, moved = evolve(strategy, x, tilted), evolve(strategy, x + c, lambda y: tilted(y - c))
    torch.testing.assert_close(moved.mean, plain.mean + c)
    torch.testing.assert_close(moved.sigma, plain.sigma)


@pytest.mark.parametrize(("name", "shape"), [("CMAES", "C"), ("XNES", "B")])
@settings(max_examples=5)
@given(seed=st.integers(0, 999))
def test_turning_space_turns_the_search(name: str, shape: str, seed: int) -> None:
    """Ask one search, and tell the other the same points turned: it goes the same way, turned."""
    rng, strategy = np.random.default_rng(seed), STRATEGIES[name]
    turn, x = torch.from_numpy(np.linalg.qr(rng.normal(size=(3, 3)))[0]), torch.from_numpy(rng.normal(size=3))
    a, b = strategy.init(x), strategy.init(turn @ x)
    for _ in range(6):
        population, a = strategy.ask(a)
        _, b = strategy.ask(b)
        values = torch.vmap(tilted)(population)
        a, b = strategy.tell(a, population, values), strategy.tell(b, population @ turn.T, values)
    torch.testing.assert_close(b.mean, turn @ a.mean)
    torch.testing.assert_close(b.sigma, a.sigma)
    square = (lambda B: B @ B.T) if shape == "B" else (lambda C: C)
    torch.testing.assert_close(square(getattr(b, shape)), turn @ square(getattr(a, shape)) @ turn.T)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_population_that_failed_teaches_nothing(name: str) -> None:
    strategy = STRATEGIES[name]
    before = evolve(strategy, torch.ones(3, dtype=torch.float64), tilted, 3)
    population, _ = strategy.ask(before)
    after = strategy.tell(before, population, torch.full((len(population),), torch.nan))
    for field, value in before._asdict().items():
        if field != "t":
            assert all(map(torch.equal, tz.tree.leaves(value), tz.tree.leaves(getattr(after, field)))), field
    assert not torch.equal(strategy.ask(after)[0], population)


def test_equal_values_move_nothing_where_samples_are_mirrored() -> None:
    """On a plateau ranks say nothing, whatever the order of the samples."""
    x = torch.tensor([0.5, -2.0], dtype=torch.float64)
    state = evolve(tz.m.PGPE(0.3, seed=0), x, lambda y: 0 * y.sum(), 5)
    torch.testing.assert_close(state.mean, x, rtol=0, atol=1e-15)


# ---------------------------------------------------------------------- figures


def evaluations_to(
    strategy: tz.m.Strategy, g: Callable[[Tensor], Tensor], x: Tensor, goal: float, generations: int, runs: int = 6
) -> list[int]:
    """How many evaluations each of several seeds takes to see a value below the goal; 10⁹ for never."""

    def run(key: Tensor) -> Tensor:
        state, hit = strategy.init(x, key), torch.full((), 10**9)
        for k in range(generations):
            population, state = strategy.ask(state)
            state = strategy.tell(state, population, torch.vmap(g)(population))
            reached = (strategy.best(state).f <= goal) & (hit == 10**9)
            hit = torch.where(reached, (k + 1) * strategy.points(len(x)), hit)
        return hit

    return sorted(torch.vmap(run)(torch.stack([tz.random.key(k) for k in range(runs)])).tolist())


def ellipsoid(x: Tensor) -> Tensor:
    return (10.0 ** (6 * torch.arange(len(x), dtype=x.dtype) / (len(x) - 1)) * x**2).sum()


def rastrigin(x: Tensor) -> Tensor:
    return (x**2 - 10 * torch.cos(2 * math.pi * x) + 10).sum()


def ones(n: int) -> Tensor:
    return torch.ones(n, dtype=torch.float64)


@pytest.mark.parametrize(
    ("strategy", "g", "x", "goal", "generations", "most"),
    [
        (tz.m.CMAES(1.0, seed=0), lambda x: (x**2).sum(), ones(8), 1e-10, 160, 1600),
        (tz.m.CMAES(1.0, seed=0), ellipsoid, ones(5), 1e-10, 230, 1700),
        (tz.m.XNES(1.0, seed=0), ellipsoid, ones(4), 1e-6, 300, 2000),
        (tz.m.SNES(1.0, seed=0), ellipsoid, ones(5), 1e-6, 220, 1600),
        (tz.m.CMAES(2.0, 100, seed=0), rastrigin, 3 * ones(2), 1e-8, 60, 4500),
        (tz.m.CEM(2.0, 100, 0.2, seed=0), rastrigin, 3 * ones(2), 1e-8, 40, 4000),
        (tz.m.PGPE(2.0, 20, seed=0), lambda x: (x**2).sum(), 3 * ones(3), 1e-3, 150, 3000),
    ],
    ids=["cmaes-sphere", "cmaes-ellipsoid", "xnes-ellipsoid", "snes-ellipsoid", "cmaes-rastrigin", "cem-rastrigin",
         "pgpe-sphere"],
)  # fmt: skip
def test_figures(strategy: tz.m.Strategy, g: Any, x: Tensor, goal: float, generations: int, most: int) -> None:
    hits = evaluations_to(strategy, g, x, goal, generations)
    assert hits[len(hits) * 2 // 3] <= most, hits


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_batch_of_searches_is_a_loop_of_them(name: str) -> None:
    """Over starts and seeds, the population evaluated by a second vmap."""
    strategy = STRATEGIES[name]
    starts = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    keys = torch.stack([tz.random.key(k) for k in range(3)])

    def run(x: Tensor, key: Tensor) -> Tensor:
        state = strategy.init(x, key)
        for _ in range(10):
            population, state = strategy.ask(state)
            state = strategy.tell(state, population, torch.vmap(rosenbrock)(population))
        return strategy.target(state)

    alone = torch.stack([run(x, k) for x, k in zip(starts, keys, strict=True)])
    torch.testing.assert_close(torch.vmap(run)(starts, keys), alone)


@pytest.mark.parametrize("name", ["SNES", "PGPE", "CEM"])
def test_each_parameter_may_have_its_own_width(name: str) -> None:
    kind: Any = type(STRATEGIES[name])
    strategy = kind({"a": 1e-6, "b": [1.0]}, seed=0)
    population, _ = strategy.ask(strategy.init(START))
    assert (population["a"] - START["a"]).abs().max() < 1e-4
    assert (population["b"][0] - 0.5).abs().max() > 0.1
    with pytest.raises(ValueError, match=r"CMAES\(sigma=.*must be one number"):
        tz.m.CMAES({"a": 1.0, "b": [2.0]}).init(START)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_closure_is_called_for_values_only_and_parameters_stay_their_own(name: str) -> None:
    p = torch.tensor([1.0, -1.0], requires_grad=True)
    opt, asked = tz.Modular([p], STRATEGIES[name]), []

    def closure(backward: bool = True) -> Tensor:
        asked.append(backward)
        return (p**2).sum()

    where = p.data_ptr()
    for _ in range(3):
        opt.step(closure)
    assert not any(asked)
    assert opt.num_evaluations == len(asked)
    assert name == "NelderMead" or len(asked) == 3 * STRATEGIES[name].points(2)
    assert p.data_ptr() == where
    assert p.grad is None


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_function_is_evaluated_at_once_and_foreign_code_one_by_one(name: str) -> None:
    strategy, shapes = STRATEGIES[name], []

    def f(x: Tensor) -> Tensor:
        shapes.append(tuple(x.shape))
        return ((x - 1) ** 2).sum()

    def foreign(x: Tensor) -> Tensor:
        return torch.tensor(float(((x.numpy() - 1) ** 2).sum()))

    x = torch.zeros(3, dtype=torch.float64)
    at_once = strategy(x, strategy.init(x), f)[1]
    one_by_one = strategy(x, strategy.init(x), foreign)[1]
    torch.testing.assert_close(tz.tree.leaves(one_by_one), tz.tree.leaves(at_once), rtol=1e-6, atol=1e-6)
    assert len(shapes) == (4 if name == "NelderMead" else 1)
    assert strategy.evaluations(at_once) == (4 if name == "NelderMead" else strategy.points(3))


@pytest.mark.parametrize("name", SAMPLERS)
def test_hyperparameters_are_swept_by_vmap(name: str) -> None:
    sigmas, x = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64), torch.ones(2, dtype=torch.float64)

    def run(sigma: Tensor) -> Tensor:
        strategy, p = type(STRATEGIES[name])(sigma, seed=0), x  # pyright: ignore[reportCallIssue]
        state = strategy.init(p)
        for _ in range(5):
            p, state = strategy(p, state, rosenbrock)
        return p

    torch.testing.assert_close(torch.vmap(run)(sigmas), torch.stack([run(s) for s in sigmas]))


def test_other_modules_may_change_the_way_to_the_target() -> None:
    """Half the way: the search itself does not notice."""
    x = torch.tensor([3.0, -2.0])
    whole, half = tz.Chain(tz.m.SNES(seed=1)), tz.Chain(tz.m.SNES(seed=1), tz.m.LR(0.5))
    a, b = whole(x, whole.init(x), lambda y: (y**2).sum()), half(x, half.init(x), lambda y: (y**2).sum())
    torch.testing.assert_close(b[0], (x + a[0]) / 2)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match=r"PGPE\(population=5\): must be even"):
        tz.m.PGPE(population=5)
    assert tz.m.PGPE(population=5, symmetric=False).points(9) == 5
    with pytest.raises(ValueError, match=r"CMAES\(sigma=0\)"):
        tz.m.CMAES(0)
    with pytest.raises(ValueError, match=r"CEM\(elite=2\)"):
        tz.m.CEM(elite=2)
    with pytest.raises(ValueError, match=r"SNES\(population=1\)"):
        tz.m.SNES(population=1)
    strategy = tz.m.SNES(population=4)
    population, state = strategy.ask(strategy.init(torch.ones(2)))
    with pytest.raises(ValueError, match=r"SNES.tell\(values\): must be one value for each of the 4 points.*vmap"):
        strategy.tell(state, population, population)
    with pytest.raises(ValueError, match=r"SNES.tell\(population\): must have the shapes that ask gave"):
        strategy.tell(state, population[:3], torch.zeros(3))
