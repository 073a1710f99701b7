"""Random draws as pure functions of a key: the counter-based generator Threefry-2x32.

A key is an int64 tensor of shape (2,), two 32-bit words. The same key gives the same numbers on every device, a
batched key gives each lane its own stream, and a key is saved and loaded as any other tensor.

Reference: Salmon, Moraes, Dror & Shaw 2011, Parallel random numbers: as easy as 1, 2, 3, section 5 (20 rounds).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.tree import Tree

_MASK = 0xFFFFFFFF
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA

DISTRIBUTIONS = ("normal", "gaussian", "uniform", "sphere", "rademacher")


def _threefry(key: Tensor, x0: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Twenty rounds of Threefry on counters x0, x1; all words are int64 holding 32 bits."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    x0, x1 = (x0 + schedule[0]) & _MASK, (x1 + schedule[1]) & _MASK
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x0 = (x0 + x1) & _MASK
            x1 = ((x1 << rotation) & _MASK | (x1 >> (32 - rotation))) ^ x0
        x0 = (x0 + schedule[(block + 1) % 3]) & _MASK
        x1 = (x1 + schedule[(block + 2) % 3] + block + 1) & _MASK
    return x0, x1


def fresh_seed() -> int:
    """A seed from torch's global generator: what `seed=None` means, drawn once, when a module is built."""
    return int(torch.randint(0, 2**31 - 1, ()))


def key(seed: int | Tensor, device: torch.device | str | None = None) -> Tensor:
    """The key of a seed: (2,) int64."""
    word = torch.as_tensor(seed, dtype=torch.int64, device=device)
    return torch.stack([word >> 32 & _MASK, word & _MASK])


def split(key: Tensor, n: int = 2) -> tuple[Tensor, ...]:
    """`n` independent keys, each (2,)."""
    i = torch.arange(n, dtype=torch.int64, device=key.device)
    a, b = _threefry(key, i, torch.full_like(i, 0xFFFFFFFF))
    return tuple(torch.stack([a[k], b[k]]) for k in range(n))


def fold_in(key: Tensor, data: int | Tensor) -> Tensor:
    """The key of (key, data): a stream for each step or leaf."""
    word = torch.as_tensor(data, dtype=torch.int64, device=key.device)
    return torch.stack(_threefry(key, word & _MASK, torch.full_like(word, 0xFFFFFFFE)))


def _bits(key: Tensor, n: int) -> tuple[Tensor, Tensor]:
    i = torch.arange(n, dtype=torch.int64, device=key.device)
    return _threefry(key, i, torch.zeros_like(i))


def _units(key: Tensor, n: int) -> Tensor:
    """(n,) float64, uniform on [0, 1) with 53 bits."""
    a, b = _bits(key, n)
    return ((a >> 5) * 67108864 + (b >> 6)).to(torch.float64) * 2.0**-53


def uniform(
    key: Tensor,
    shape: Sequence[int],
    low: float | Tensor = 0.0,
    high: float | Tensor = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Uniform on [low, high)."""
    units = _units(key, math.prod(shape)).reshape(tuple(shape))
    return (low + (high - low) * units).to(dtype)


def normal(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal, by Box and Muller's transform."""
    n = math.prod(shape)
    half = (n + 1) // 2
    units = _units(key, 2 * half)
    u, v = units[:half], units[half:]
    radius, angle = torch.sqrt(-2 * torch.log1p(-u)), 2 * math.pi * v
    draws = torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])
    return draws[:n].reshape(tuple(shape)).to(dtype)


def rademacher(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """-1 or +1 with equal probability."""
    return ((_bits(key, math.prod(shape))[0] & 1) * 2 - 1).reshape(tuple(shape)).to(dtype)


def bernoulli(key: Tensor, p: float | Tensor, shape: Sequence[int]) -> Tensor:
    """True with probability `p`: bool."""
    return _units(key, math.prod(shape)).reshape(tuple(shape)) < p


def sphere(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform on the unit sphere of all elements."""
    z = normal(key, shape, torch.float64)
    return (z / torch.linalg.vector_norm(z).clamp_min(torch.finfo(torch.float64).tiny)).to(dtype)


def sample(key: Tensor, shape: Sequence[int], distribution: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw from one of `DISTRIBUTIONS`: N(0, 1), U(-1, 1), the unit sphere, or ±1."""
    if distribution == "uniform":
        return uniform(key, shape, -1.0, 1.0, dtype)
    if distribution == "rademacher":
        return rademacher(key, shape, dtype)
    return sphere(key, shape, dtype) if distribution == "sphere" else normal(key, shape, dtype)


def sample_tree(key: Tensor, like: Tree, distribution: str = "normal") -> Tree:
    """A draw for every leaf, each from a stream of its own, in its dtype and on its device.

    For "sphere" the whole tree lies on the unit sphere.
    """
    leaves, spec = tree.flatten(like)
    kind = "normal" if distribution == "sphere" else distribution
    draws = [
        sample(fold_in(key, i).to(x.device), x.shape, kind, x.dtype if x.is_floating_point() else torch.float32)
        for i, x in enumerate(leaves)
    ]
    out = tree.unflatten(spec, draws)
    return tree.scale(1 / tree.norm(out), out) if distribution == "sphere" else out
