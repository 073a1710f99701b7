"""addmm: what torch.baddbmm is, and the same under every transformation."""

import pytest
import torch
from torch import Tensor

from torchzero.linalg.addmm import addmm

# torch's own, when forward mode is first used
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")


def _draw(*shapes: tuple[int, ...]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def _ours(X: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return addmm(X, A, B, 3.0, -0.5)


def _plain(X: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return 3 * X - 0.5 * A @ B


@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
def test_any_number_of_leading_dimensions(lead: tuple[int, ...]) -> None:
    args = _draw((*lead, 2, 5), (*lead, 2, 3), (*lead, 3, 5))
    torch.testing.assert_close(_ours(*args), _plain(*args))


@pytest.mark.parametrize("dims", [(0, 0, 0), (2, None, 1), (None, 0, None), (None, None, 2)])
def test_vmapped(dims: tuple[int | None, ...]) -> None:
    args = [
        x if dim is None else torch.stack([x, x.sin(), x * 2], dim)
        for x, dim in zip(_draw((2, 5), (2, 3), (3, 5)), dims, strict=True)
    ]
    torch.testing.assert_close(torch.vmap(_ours, dims)(*args), torch.vmap(_plain, dims)(*args))


def test_vmapped_twice() -> None:
    args = _draw((4, 3, 2, 5), (4, 3, 2, 3), (4, 3, 3, 5))
    torch.testing.assert_close(torch.vmap(torch.vmap(_ours))(*args), _plain(*args))
    dims = (1, None, None), (None, 0, None)
    args = _draw((2, 4, 5), (3, 2, 3), (3, 5))
    two = [torch.vmap(torch.vmap(f, dims[1]), dims[0])(*args) for f in (_ours, _plain)]
    torch.testing.assert_close(*two)


@pytest.mark.parametrize("vmapped", [False, True])
def test_derivatives(vmapped: bool) -> None:
    args = tuple(_draw((3, 2, 5), (3, 2, 3), (3, 3, 5)))
    f = torch.vmap(_ours) if vmapped else _ours
    leaves = tuple(x.clone().requires_grad_() for x in args)
    assert torch.autograd.gradcheck(f, leaves, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(f, leaves)


def test_derivatives_inside_vmap() -> None:
    args, tangents = _draw((3, 2, 5), (3, 2, 3), (3, 3, 5)), _draw((3, 2, 5), (3, 2, 3), (3, 3, 5))
    for made in (
        lambda f: torch.func.grad(lambda *xs: f(*xs).sin().sum(), (0, 1, 2)),
        lambda f: lambda *xs: torch.func.jvp(f, xs, tuple(x.cos() for x in xs))[1],
        lambda f: torch.func.hessian(lambda *xs: f(*xs).sin().sum(), 1),
    ):
        torch.testing.assert_close(torch.vmap(made(_ours))(*args), torch.vmap(made(_plain))(*args))
    one = torch.func.jvp(torch.vmap(_ours), tuple(args), tuple(tangents))
    torch.testing.assert_close(one, torch.func.jvp(_plain, tuple(args), tuple(tangents)))


def test_compiled() -> None:
    args = _draw((3, 2, 5), (3, 2, 3), (3, 3, 5))
    for f in (_ours, torch.vmap(_ours)):
        whole = torch.compile(f, fullgraph=True, backend="eager")
        torch.testing.assert_close(whole(*args), _plain(*args))


def test_a_batch_is_rounded_once() -> None:
    X, A, B = (x.bfloat16() for x in _draw((4, 8, 8), (4, 8, 8), (4, 8, 8)))
    exact = 3 * X.double() - 0.5 * A.double() @ B.double()
    batched = torch.vmap(_ours)(X, A, B)
    assert (batched - exact).norm() < 1.05 * (exact.bfloat16() - exact).norm()
    assert (_plain(X, A, B) - exact).norm() > 1.2 * (exact.bfloat16() - exact).norm()
