"""Random draws: the published generator, its distributions, and one stream for each key."""

import math

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.random import _threefry

random = tz.random


@pytest.mark.parametrize(
    ("key", "counter", "expected"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers_of_random123(key: tuple[int, int], counter: tuple[int, int], expected: tuple[int, int]) -> None:
    """Salmon et al., the file kat_vectors, threefry2x32 with 20 rounds."""
    a, b = _threefry(torch.tensor(key), torch.tensor(counter[0]), torch.tensor(counter[1]))
    assert (a.item(), b.item()) == expected


N = 100_000


def moments(x: Tensor) -> tuple[float, float, float, float]:
    z = (x - x.mean()) / x.std()
    return x.mean().item(), x.var().item(), (z**3).mean().item(), (z**4).mean().item()


@pytest.mark.parametrize("seed", [0, 1, 2**40 + 3])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("normal", (0, 1, 0, 3)),
        ("gaussian", (0, 1, 0, 3)),
        ("uniform", (0, 1 / 3, 0, 1.8)),
        ("rademacher", (0, 1, 0, 1)),
    ],
)
def test_moments(name: str, expected: tuple[float, ...], seed: int) -> None:
    draws = random.sample(random.key(seed), (N,), name, torch.float64)
    for found, value in zip(moments(draws), expected, strict=True):
        assert abs(found - value) < 10 / math.sqrt(N)


def test_normal_quantiles_and_independence() -> None:
    x = random.normal(random.key(5), (N,), torch.float64)
    levels = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.5], dtype=torch.float64)
    found = (x[:, None] < levels).double().mean(0)
    assert (found - torch.special.ndtr(levels)).abs().max() < 3 / math.sqrt(N)
    assert abs((x[: N // 2] * x[N // 2 :]).mean()) < 5 / math.sqrt(N / 2)  # the two halves of Box and Muller's pairs
    assert abs((x[1:] * x[:-1]).mean()) < 5 / math.sqrt(N)


def test_uniform_stays_within_its_bounds() -> None:
    x = random.uniform(random.key(1), (N,), 2.0, 5.0, torch.float64)
    assert x.min() >= 2
    assert x.max() < 5
    assert abs(x.mean() - 3.5) < 0.02


def test_bernoulli() -> None:
    assert abs(random.bernoulli(random.key(1), 0.3, (N,)).double().mean() - 0.3) < 0.01
    assert not random.bernoulli(random.key(1), 0.0, (N,)).any()
    assert random.bernoulli(random.key(1), 1.0, (N,)).all()


def test_sphere() -> None:
    x = random.sphere(random.key(2), (3, 4), torch.float64)
    assert abs(torch.linalg.vector_norm(x) - 1) < 1e-12
    many = torch.vmap(lambda k: random.sphere(k, (3,), torch.float64))(torch.stack(random.split(random.key(0), 5000)))
    assert many.mean(0).abs().max() < 0.05
    assert (many.T @ many / len(many) - torch.eye(3) / 3).abs().max() < 0.05


def test_same_key_same_numbers_other_key_others() -> None:
    a, b = random.key(3), random.key(4)
    assert torch.equal(random.normal(a, (5,)), random.normal(a, (5,)))
    assert not torch.equal(random.normal(a, (5,)), random.normal(b, (5,)))
    assert not torch.equal(random.key(1), random.key(1 + 2**32))
    assert torch.equal(random.normal(random.key(torch.tensor(3)), (5,)), random.normal(a, (5,)))


def test_split_and_fold_in_make_streams_without_overlap() -> None:
    key = random.key(0)
    keys = [key, *random.split(key, 50), *(random.fold_in(key, i) for i in range(50))]
    assert len({tuple(k.tolist()) for k in keys}) == len(keys)
    assert len({random.uniform(k, (), dtype=torch.float64).item() for k in keys}) == len(keys)
    assert torch.equal(random.fold_in(key, torch.tensor(7)), random.fold_in(key, 7))


@pytest.mark.parametrize("name", random.DISTRIBUTIONS)
def test_a_batched_key_gives_each_lane_its_own_stream(name: str) -> None:
    keys = torch.stack(random.split(random.key(9), 4))
    together = torch.vmap(lambda k: random.sample(k, (2, 3), name))(keys)
    assert torch.equal(together, torch.stack([random.sample(k, (2, 3), name) for k in keys]))
    assert len({tuple(x.reshape(-1).tolist()) for x in together}) == 4


def test_a_batched_seed_and_a_batched_step() -> None:
    seeds = torch.arange(3)
    together = torch.vmap(lambda s: random.normal(random.fold_in(random.key(s), s), (2,)))(seeds)
    assert torch.equal(together, torch.stack([random.normal(random.fold_in(random.key(s), s), (2,)) for s in seeds]))


def test_compiled_is_eager() -> None:
    torch._dynamo.reset()
    run = torch.compile(lambda k: random.normal(random.split(k)[0], (7,)), fullgraph=True, backend="eager")
    assert torch.equal(run(random.key(1)), random.normal(random.split(random.key(1))[0], (7,)))


def test_a_tree_of_draws() -> None:
    like = {
        "a": torch.zeros(3),
        "b": torch.zeros(3, dtype=torch.float64),
        "none": (),
        "c": torch.zeros((), dtype=torch.int64),
    }
    out = random.sample_tree(random.key(0), like)
    assert out["a"].dtype == torch.float32
    assert out["b"].dtype == torch.float64
    assert out["c"].dtype == torch.float32
    assert not torch.equal(out["a"].double(), out["b"])
    ball = random.sample_tree(random.key(0), {"a": like["a"], "b": like["b"]}, "sphere")
    assert abs(tz.tree.norm(ball) - 1) < 1e-6


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("name", random.DISTRIBUTIONS)
def test_every_shape_and_dtype(name: str, shape: tuple[int, ...]) -> None:
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        out = random.sample(random.key(0), shape, name, dtype)
        assert (out.shape, out.dtype) == (shape, dtype)
        assert torch.isfinite(out).all()


def test_a_fresh_seed_follows_torch() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        a = random.fresh_seed()
        torch.manual_seed(0)
        assert random.fresh_seed() == a
        assert random.fresh_seed() != a
