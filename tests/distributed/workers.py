"""What each of two gloo processes does, and the single process that they must agree with."""

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import torchzero as tz

STEPS = 4
CHAINS: dict[str, Callable[[], list[Any]]] = {
    "elementwise": lambda: [tz.m.ClipValue(0.05), tz.m.Adam(), tz.m.LR(0.1), tz.m.Cautious(), tz.m.WeightDecay(1e-3)],
    "momentum": lambda: [tz.m.WeightDecay(1e-2), tz.m.HeavyBall(0.9), tz.m.LR(0.1)],
    "global norm": lambda: [tz.m.ClipNorm(0.05, dim="global"), tz.m.Adam(), tz.m.WeightDecay(0.01), tz.m.LR(0.1)],
    "tensor norm": lambda: [tz.m.Normalize(0.1), tz.m.NAG(0.9), tz.m.LR(0.1)],
}


def model() -> nn.Sequential:
    """The same small network everywhere."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def batch(step: int) -> Tensor:
    """Eight rows; each of two processes gets four."""
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(step))


def train(net: nn.Module, opt: torch.optim.Optimizer, part: slice, first: int = 0, steps: int = STEPS) -> None:
    """Minimise the mean square output; gradients are averaged over the processes by whoever wraps `net`."""
    for k in range(first, first + steps):
        opt.zero_grad()
        net(batch(k)[part]).square().mean().backward()
        opt.step()


def alone(chain: str, steps: int = STEPS) -> list[Tensor]:
    """What one process gets on whole batches."""
    net = model()
    train(net, tz.Modular(net.parameters(), *CHAINS[chain]()), slice(None), steps=steps)
    return [p.detach() for p in net.parameters()]


def _whole(p: Tensor) -> Tensor:
    return (p.full_tensor() if isinstance(p, DTensor) else p).detach()


def _compare(net: nn.Module, wanted: list[Tensor], what: str) -> None:
    for p, w in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(_whole(p), w, rtol=1e-4, atol=1e-5, msg=lambda m: f"{what}: {m}")


def ddp(rank: int) -> None:
    """DistributedDataParallel follows the trajectory of one process, for every chain."""
    for chain, make in CHAINS.items():
        net = DistributedDataParallel(model())
        train(net, tz.Modular(net.parameters(), *make()), slice(4 * rank, 4 * rank + 4))
        _compare(net, alone(chain), f"DDP, {chain}")


def _sharded() -> nn.Module:
    net, mesh = model(), init_device_mesh("cpu", (2,))
    for layer in net:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def fsdp(rank: int) -> None:
    """fully_shard follows the trajectory of one process, and keeps its state sharded."""
    for chain, make in CHAINS.items():
        net = _sharded()
        opt = tz.Modular(net.parameters(), *make())
        train(net, opt, slice(4 * rank, 4 * rank + 4))
        _compare(net, alone(chain), f"FSDP2, {chain}")
        assert opt.executor.used is (chain in ("elementwise", "momentum"))
        if chain == "elementwise":
            m = opt.state[next(net.parameters())]["1.Adam/m"]
            assert isinstance(m, DTensor)
            assert m.to_local().numel() < m.numel()


def dcp(rank: int) -> None:
    """A checkpoint through torch.distributed.checkpoint's functions continues as if nothing had happened."""
    part = slice(4 * rank, 4 * rank + 4)
    for chain, make in CHAINS.items():
        net = _sharded()
        opt = tz.Modular(net.parameters(), *make())
        train(net, opt, part)
        options = StateDictOptions(full_state_dict=True)
        saved = get_optimizer_state_dict(net, opt, options=options)
        weights = [_whole(p).clone() for p in net.parameters()]
        fresh = _sharded()
        with torch.no_grad():
            for p, w in zip(fresh.parameters(), weights, strict=True):
                assert isinstance(p, DTensor)
                local = torch.distributed.tensor.distribute_tensor(w, p.device_mesh, p.placements)
                p.copy_(local)
        other = tz.Modular(fresh.parameters(), *make())
        set_optimizer_state_dict(fresh, other, saved, options=options)
        assert other.current_step == opt.current_step
        train(net, opt, part, first=STEPS)
        train(fresh, other, part, first=STEPS)
        for a, b in zip(net.parameters(), fresh.parameters(), strict=True):
            torch.testing.assert_close(_whole(a), _whole(b), rtol=0, atol=0, msg=lambda m: f"DCP, {chain}: {m}")  # noqa: B023


WORK = {"ddp": ddp, "fsdp": fsdp, "dcp": dcp}


def run(rank: int, name: str, path: str) -> None:
    """One process."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    try:
        WORK[name](rank)
        dist.barrier()
    finally:
        dist.destroy_process_group()
    os._exit(0)  # gloo's threads, taken down with the interpreter, abort a process in a hundred that has done its work
