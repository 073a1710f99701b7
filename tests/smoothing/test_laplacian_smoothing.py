"""LaplacianSmoothing: one ring through all parameters, half precision, and what smoothing keeps."""

import torch

import torchzero as tz
import torchzero.testing


def test_one_ring_through_all_parameters_obeys_the_laws() -> None:
    """All but one: neighbours on the ring follow from the order of the leaves."""
    reason = "the ring goes through the leaves in their order"
    tz.testing.check_module(tz.m.LaplacianSmoothing(layerwise=False), exempt={"tree": reason})


def test_the_mean_stays_and_the_variance_falls() -> None:
    """Diffusion moves, and does not make."""
    u = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    out = tz.m.LaplacianSmoothing(sigma=2.0).apply((), tz.Var(u, grad=u)).update
    torch.testing.assert_close(out.mean(), u.mean())
    assert out.var() < 0.5 * u.var()


def test_half_precision_is_smoothed_in_single_precision() -> None:
    """There is no Fourier transform of bfloat16."""
    u = torch.randn(20, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    smoothing = tz.m.LaplacianSmoothing()
    out = smoothing.apply((), tz.Var(u, grad=u)).update
    wanted = smoothing.apply((), tz.Var(u.float(), grad=u.float())).update.to(torch.bfloat16)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out, wanted)
