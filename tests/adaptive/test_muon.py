"""Muon: what torch.optim.Muon does to matrices, and the fallback for everything else."""

from unittest import mock

import pytest
import torch

import torchzero as tz

SHAPES = [(4, 3), (3, 4), (2, 6), (5, 5), (1, 3)]


def _gradients(steps: int, seed: int = 0) -> list[list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [[torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES] for _ in range(steps)]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("momentum", [0.95, 0.5])
@pytest.mark.parametrize("adjust_lr", ["original", "match_rms_adamw"])
def test_agrees_with_torch_on_matrices(nesterov: bool, momentum: float, adjust_lr: str) -> None:
    shapes = SHAPES[:-1]  # a matrix with one row is a vector to ours
    theirs = [torch.ones(s, dtype=torch.float64, requires_grad=True) for s in shapes]
    reference = torch.optim.Muon(
        theirs, lr=0.1, weight_decay=0.2, momentum=momentum, nesterov=nesterov, adjust_lr_fn=adjust_lr
    )
    # torch decays by lr·λ whatever the shape
    opt = tz.Chain(tz.m.Muon(momentum, nesterov, adjust_lr=adjust_lr), tz.m.WeightDecay(0.2), tz.m.LR(0.1))
    params = [torch.ones(s, dtype=torch.float64) for s in shapes]
    state = opt.init(params)
    for grads in _gradients(6):
        grads = grads[:-1]
        for p, g in zip(theirs, grads, strict=True):
            p.grad = g.clone()
        with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.clone):  # theirs rounds to half precision
            reference.step()
        params, state = opt(params, state, grad=grads)
        for x, y in zip(params, theirs, strict=True):
            torch.testing.assert_close(x, y.detach(), rtol=1e-8, atol=1e-8)


def test_other_parameters_get_the_fallback() -> None:
    params = {"w": torch.zeros(3, 2), "b": torch.zeros(3), "head": torch.zeros(2, 3)}
    grad = {k: torch.full_like(v, 2.0) for k, v in params.items()}
    opt = tz.m.Muon(matrices=lambda path, x: x.ndim == 2 and path != "head", fallback=tz.m.LR(0.5))
    new, _ = opt(params, opt.init(params), grad=grad)
    torch.testing.assert_close(new["b"], -torch.ones(3))
    torch.testing.assert_close(new["head"], -torch.ones(2, 3))
    assert not torch.allclose(new["w"], -torch.ones(3, 2))


def test_the_fallback_is_adam() -> None:
    params = {"w": torch.zeros(3, 2), "b": torch.zeros(3)}
    grad = {"w": torch.ones(3, 2), "b": torch.tensor([3.0, -0.1, 2.0])}
    opt = tz.m.Muon()
    new, _ = opt(params, opt.init(params), grad=grad)
    torch.testing.assert_close(new["b"], -grad["b"].sign())


def test_without_adjustment_the_singular_values_are_one() -> None:
    opt, x = tz.m.Muon(method="svd", adjust_lr=None), torch.zeros(6, 2, dtype=torch.float64)
    new, _ = opt(
        x, opt.init(x), grad=torch.randn(6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    torch.testing.assert_close(torch.linalg.svdvals(new), torch.ones(2, dtype=torch.float64))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
@pytest.mark.parametrize("shape", [(40, 24), (24, 40)])
def test_in_half_precision_it_rounds_where_torch_does(shape: tuple[int, int]) -> None:
    grad = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    theirs = torch.zeros(shape, requires_grad=True)
    theirs.grad = grad.clone()
    torch.optim.Muon([theirs], lr=1.0, weight_decay=0, momentum=0, nesterov=False).step()

    def moved(opt: tz.Module, grad: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(shape)
        return opt(x, opt.init(x), grad=grad)[0]

    half, full = (tz.m.Muon(0.0, nesterov=False, dtype=dtype) for dtype in (torch.bfloat16, None))
    distance = (moved(full, grad) - theirs).norm()
    assert (moved(half, grad) - theirs).norm() < 0.2 * distance
    stack = torch.func.vmap(lambda g: moved(half, g))(torch.stack([grad, -grad]))  # in one product
    assert (stack[0] - theirs).norm() < 0.2 * distance
    assert (stack[1] + theirs).norm() < 0.2 * distance


def test_the_dtype_of_the_computation_is_not_that_of_the_result() -> None:
    u = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    for method in ("newtonschulz", "ns5", "polar_express", "svd"):
        opt = tz.m.Orthogonalize(method=method, dtype=torch.bfloat16)
        d = -opt(torch.zeros(6, 4), opt.init(torch.zeros(6, 4)), grad=u)[0]
        assert d.dtype == torch.float32
        assert torch.equal(d, d.bfloat16().float()) == (method != "svd")  # decompositions take float32
        torch.testing.assert_close(d, tz.linalg.orthogonalize(u, method), rtol=0, atol=0.1)


def test_a_bad_dtype_is_named() -> None:
    with pytest.raises(TypeError, match=r"Orthogonalize\(dtype='bfloat16'\): must be a floating point dtype"):
        tz.m.Orthogonalize(dtype="bfloat16")  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"Orthogonalize\(dtype=torch.int32\): must be a floating point dtype"):
        tz.m.Muon(dtype=torch.int32)
