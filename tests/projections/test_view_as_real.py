"""ViewAsReal on complex parameters."""

import torch
from torch import Tensor

import torchzero as tz


def loss(z: Tensor) -> Tensor:
    return ((z - (1 + 2j)).abs() ** 2).sum() + (z.real * z.imag).pow(2).sum()


def real_loss(x: Tensor) -> Tensor:
    return loss(torch.view_as_complex(x.reshape(-1, 2)))


def start(*batch: int) -> Tensor:
    return torch.randn(*batch, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))


def test_is_the_child_on_real_and_imaginary_parts() -> None:
    child = tz.Chain(tz.m.Adam(), tz.m.LR(0.1))
    opt = tz.m.ViewAsReal(child)
    z, x = start(), torch.view_as_real(start())
    state, real_state = opt.init(z), child.init(x)
    for _ in range(5):
        z, state = opt(z, state, loss)
        x, real_state = child(x, real_state, lambda x: real_loss(x.reshape(-1)))
    assert torch.allclose(torch.view_as_real(z), x, rtol=1e-12)


def test_derivatives_are_those_of_the_real_function() -> None:
    z = start()
    var = tz.m.ViewAsReal(tz.m.LR(1.0)).projected(tz.Var(z, objective=loss))
    x = torch.view_as_real(z)
    assert torch.allclose(var.grad, torch.func.grad(real_loss)(x.reshape(-1)).reshape(3, 2))
    assert torch.allclose(var.objective.hessian(x), torch.func.jacrev(torch.func.grad(real_loss))(x.reshape(-1)))
    v = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
    expected = torch.func.jacrev(torch.func.grad(real_loss))(x.reshape(-1)) @ v.reshape(-1)
    assert torch.allclose(var.objective.hvp(x, v), expected.reshape(3, 2))


def test_vmapped_is_looped_with_conjugate_views_as_gradients() -> None:
    opt = tz.m.ViewAsReal([tz.m.Adam(), tz.m.LR(0.1)])

    def step(z: Tensor, g: Tensor) -> Tensor:
        return opt(z, opt.init(z), grad=g)[0]

    z = start(4)
    together = torch.vmap(step)(z, z.conj())
    assert torch.allclose(together, torch.stack([step(a, b) for a, b in zip(z, z.conj(), strict=True)]))


def test_real_tensors_beside_complex_ones_are_left_alone() -> None:
    opt = tz.m.ViewAsReal(tz.m.Adam())
    state = opt.init([torch.zeros(2), torch.zeros(3, dtype=torch.complex64)])
    assert [m.shape for m in state.m] == [(2,), (3, 2)]
