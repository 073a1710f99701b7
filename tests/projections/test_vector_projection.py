"""VectorProjection: settings that differ between parameters, dtypes and empty places."""

import torch

import torchzero as tz


def test_settings_of_groups_reach_the_elements() -> None:
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    opt = tz.Modular(
        [{"params": [a], "lr": 1.0}, {"params": [b], "lr": 0.1}], tz.m.VectorProjection([tz.m.Adam(), tz.m.LR(0.5)])
    )
    a.grad, b.grad = torch.ones(2), torch.ones(3)
    opt.step()
    assert torch.allclose(a, torch.zeros(2))
    assert torch.allclose(b, torch.full((3,), 0.9))


def test_mixed_dtypes_meet_in_the_widest_and_come_back() -> None:
    params = [torch.ones(2), torch.ones((), dtype=torch.float64)]
    opt = tz.m.VectorProjection(tz.m.Adam())
    state = opt.init(params)
    assert state.m.dtype == torch.float64
    new, _ = opt(params, state, grad=params)
    assert [p.dtype for p in new] == [torch.float32, torch.float64]


def test_empty_tensors_and_holes() -> None:
    params = {"a": torch.zeros(0), "b": (), "c": torch.ones(2)}
    for cls in (tz.m.VectorProjection, tz.m.ScalarProjection):
        opt = cls(tz.m.LR(0.5))
        new, _ = opt(params, opt.init(params), grad=params)
        assert new["b"] == ()
        assert new["a"].shape == (0,)
        assert torch.equal(new["c"], torch.full((2,), 0.5))


def test_none_may_be_missing() -> None:
    assert tz.m.VectorProjection.whole
    assert not tz.m.ScalarProjection.whole
