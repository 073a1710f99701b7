"""torch.optim.swa_utils next to a chain, and averages that a chain keeps itself."""

import pytest
import torch
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn

import torchzero as tz
from tests.stateful.toys import Average, close, equal, net, train, values


@pytest.mark.parametrize("kwargs", [{}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}])
def test_averaged_model_and_swalr(kwargs):
    def run(opt, model):
        averaged, scheduler = AveragedModel(model, **kwargs), SWALR(opt, swa_lr=0.01, anneal_epochs=3)

        def after():
            averaged.update_parameters(model)
            scheduler.step()

        train(opt, model, 6, after=after)
        return averaged

    model, reference = net(), net()
    mine = run(tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1)), model)
    theirs = run(torch.optim.Adam(reference.parameters(), lr=0.1), reference)
    close(mine, theirs)


def test_eval_params_and_eval_mode():
    model, visited = net(), []
    opt = tz.Modular(model.parameters(), Average(), tz.m.Adam(), tz.m.LR(0.1))
    assert equal(opt.eval_params(), model)
    visited.append(values(model))
    train(opt, model, 4, after=lambda: visited.append(values(model)))
    want = [torch.stack(x).mean(0) for x in zip(*visited[:-1], strict=True)]
    close(opt.eval_params(), want)
    current, where = values(model), [p.data_ptr() for p in model.parameters()]
    with opt.eval_mode():
        close(model, want)
        assert [p.data_ptr() for p in model.parameters()] == where
    assert equal(model, current)
    with pytest.raises(ZeroDivisionError), opt.eval_mode():
        raise ZeroDivisionError
    assert equal(model, current)


def test_eval_mode_without_an_average_changes_nothing():
    model = net()
    opt = tz.Modular(model.parameters(), tz.m.Adam(), tz.m.LR(0.1))
    train(opt, model, 2)
    current = values(model)
    with opt.eval_mode():
        assert equal(model, current)
    assert equal(model, current)


def test_looking_at_averages_does_not_change_training():
    model, reference = net(), net()
    looked = tz.Modular(model.parameters(), Average(), tz.m.Adam(), tz.m.LR(0.1))
    plain = tz.Modular(reference.parameters(), Average(), tz.m.Adam(), tz.m.LR(0.1))

    def look():
        with looked.eval_mode():
            pass
        looked.eval_params()

    look()
    train(looked, model, 3, after=look)
    train(plain, reference, 3)
    assert equal(model, reference)
