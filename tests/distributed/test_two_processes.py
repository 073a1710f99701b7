"""DDP, FSDP2 and distributed checkpoints, on two gloo processes on the CPU."""

import pathlib

import pytest
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict

import torchzero as tz
from tests.distributed import workers


@pytest.mark.parametrize("name", list(workers.WORK))
def test_two_processes_do_what_one_does(name: str, tmp_path: pathlib.Path) -> None:
    mp.spawn(workers.run, args=(name, str(tmp_path / "rendezvous")), nprocs=2, join=True)  # type: ignore[attr-defined]


@pytest.mark.parametrize("chain", ["elementwise", "stateless"])
def test_checkpoint_functions_round_trip_without_a_group(chain: str) -> None:
    make = {**workers.CHAINS, "stateless": lambda: [tz.m.LR(0.1), tz.m.WeightDecay(0.1)]}[chain]
    net = workers.model()
    opt = tz.Modular(net.parameters(), *make())
    workers.train(net, opt, slice(None))
    saved = get_optimizer_state_dict(net, opt)
    fresh: nn.Module = workers.model()
    fresh.load_state_dict(net.state_dict())
    other = tz.Modular(fresh.parameters(), *make())
    before = [p.detach().clone() for p in fresh.parameters()]
    set_optimizer_state_dict(fresh, other, saved)
    assert all((a == b).all() for a, b in zip(before, fresh.parameters(), strict=True))
    workers.train(net, opt, slice(None), first=workers.STEPS)
    workers.train(fresh, other, slice(None), first=workers.STEPS)
    assert all((a == b).all() for a, b in zip(net.parameters(), fresh.parameters(), strict=True))
