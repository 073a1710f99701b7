"""torch.amp.GradScaler: scaled losses, unscaling, and steps skipped for infinite gradients."""

import pytest
import torch

import torchzero as tz
from tests.stateful.toys import close, equal, loss_of, net, values


def run(opt, model, bad=(), unscale=False):
    scaler = torch.amp.GradScaler(device="cpu", init_scale=2.0**10, growth_interval=2)
    scales = []
    for i in range(6):
        opt.zero_grad()
        scaler.scale(loss_of(model, i, torch.float32) * (float("inf") if i in bad else 1.0)).backward()
        if unscale:
            scaler.unscale_(opt)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        scaler.step(opt)
        scaler.update()
        scales.append(scaler.get_scale())
    return scales


@pytest.mark.parametrize("unscale", [False, True])
def test_is_that_of_torch_and_skips_infinite_gradients(unscale):
    model, reference = net(dtype=torch.float32), net(dtype=torch.float32)
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    mine = run(opt, model, bad={1, 4}, unscale=unscale)
    theirs = run(
        torch.optim.Adam(reference.parameters(), lr=0.1, foreach=False), reference, bad={1, 4}, unscale=unscale
    )
    assert mine == theirs
    close(model, reference, rtol=1e-5)
    assert opt.current_step == 4
    assert all(int(s["step"]) == 4 for s in opt.state.values())


def test_a_first_step_that_overflows_changes_nothing():
    model = net(dtype=torch.float32)
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1), tz.m.WeightDecay(0.1))
    before = values(model)
    run(opt, model, bad=set(range(6)))
    assert equal(model, before)


def test_autocast():
    model = net(dtype=torch.float32)
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.05))
    losses = []
    for _ in range(20):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, 0, torch.float32)
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.dtype == torch.float32 for p in model.parameters())
