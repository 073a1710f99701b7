"""Where the interpolants of two or three trial points are lowest.

A point is a tensor (3,): the step size a, φ(a) and φ'(a). Points may come in any order.
"""

import torch
from torch import Tensor

from torchzero.core.safe import differentiated


def _divide(x: Tensor, y: Tensor) -> Tensor:
    """x / y; where y is 0 the value is as always, but has no derivative."""
    if not differentiated(y):
        return x / y
    bad = y == 0
    return torch.where(bad, (x / y).detach(), x / torch.where(bad, torch.ones_like(y), y))


def cubic(p: Tensor, q: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """The minimiser of the cubic through values and slopes, moved into [lower, upper]; their middle if it has none.

    That of a straight line is at infinity.
    """
    (x, f, d), (y, g, e) = p.unbind(), q.unbind()
    width = y - x
    d1 = d + e - 3 * _divide(g - f, width)
    size = torch.maximum(torch.maximum(d1.abs(), d.abs()), e.abs()).clamp_min(torch.finfo(x.dtype).tiny)
    inside = (d1 / size) ** 2 - (d / size) * (e / size)
    curved = inside > 0
    d2 = torch.copysign(torch.where(curved, inside, torch.ones_like(inside)).sqrt() * curved, width) * size
    top, bottom = e + d2 - d1, e - d + 2 * d2
    a = y - width * _divide(top, bottom)
    a = torch.where(bottom == 0, -torch.inf * top.detach(), a)
    a = torch.minimum(torch.maximum(a, lower), upper)
    return torch.where((inside >= 0) & ~torch.isnan(a), a, 0.5 * (lower + upper))


def quadratic(p: Tensor, q: Tensor, lower: Tensor, upper: Tensor, otherwise: Tensor) -> Tensor:
    """The minimiser of the parabola through φ(p), φ'(p) and φ(q), moved into [lower, upper]."""
    (x, f, d), (y, g, _) = p.unbind(), q.unbind()
    width = y - x
    bend = g - f - d * width  # half the second derivative, times width²
    a = x - 0.5 * width * _divide(d * width, bend)
    return torch.where((bend > 0) & torch.isfinite(a), torch.minimum(torch.maximum(a, lower), upper), otherwise)


def quintic(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """The minimiser between p and q of the polynomial of degree 5 through three values and slopes.

    Found on a grid and refined by Newton's method; with its coefficients not finite, the middle.
    """
    (x, fx, dx), (y, fy, dy), (w, fw, dw) = p.unbind(), q.unbind(), r.unbind()
    width = y - x
    # Newton's form over the nodes 0, 0, 1, 1, z, z in s = (a - x) / width; values relative to φ(p).
    z = (w - x) / torch.where(width == 0, torch.ones_like(width), width)
    apart = (z.abs() >= 1e-6) & ((z - 1).abs() >= 1e-6)
    gap0, gap1 = torch.where(apart, z, torch.full_like(z, 2)), torch.where(apart, z - 1, torch.ones_like(z))
    g0, g1, gz = dx * width, dy * width, dw * width
    f1, fz = fy - fx, fw - fx
    f1z = (fz - f1) / gap1
    c001, c011, c11z, c1zz = f1 - g0, g1 - f1, (f1z - g1) / gap1, (gz - f1z) / gap1
    d0011, d011z, d11zz = c011 - c001, (c11z - c011) / gap0, (c1zz - c11z) / gap1
    e0, e1 = (d011z - d0011) / gap0, (d11zz - d011z) / gap0
    top = (e1 - e0) / gap0

    def jet(s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Value, slope and second derivative, by Horner's rule on Newton's form."""
        value, first, second = top, torch.zeros_like(s), torch.zeros_like(s)
        for coefficient, node in ((e0, z), (d0011, 1.0), (c001, 1.0), (g0, 0.0), (torch.zeros_like(g0), 0.0)):
            second = 2 * first + (s - node) * second
            first = value + (s - node) * first
            value = coefficient + (s - node) * value
        return value, first, second

    n = 32
    grid = torch.arange(n + 1, dtype=x.dtype, device=x.device) / n
    values = jet(grid)[0]
    best = torch.argmin(torch.where(torch.isfinite(values), values, torch.full_like(values, torch.inf))).to(x.dtype)
    s, low, high = best / n, ((best - 1) / n).clamp_min(0), ((best + 1) / n).clamp_max(1)
    for _ in range(4):
        _, first, second = jet(s)
        convex = second > 0
        step = first / torch.where(convex, second, torch.ones_like(second))
        s = torch.where(convex, torch.minimum(torch.maximum(s - step, low), high), s)
    return x + width * torch.where(apart & torch.isfinite(top) & torch.isfinite(s), s, torch.full_like(s, 0.5))
