"""An Adam step of 32 networks at once, next to optax and to a loop: python -m tests.bench.ensembles [threads].

The step includes the gradients. Compiled: one function of everything under torch.compile, next to optax.adam under
jax.jit, both vmapped, in this process, interleaved, and bound to as many CPUs as there are threads, since XLA starts a
thread for each CPU that it may use. Eager: vmapped, next to a loop over the networks.
"""

import itertools
import os
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import torchzero as tz
from tests.bench.paired import interleaved, table

Params = list[tuple[Tensor, Tensor]]
Step = Callable[[], object]
OPT = tz.Chain(tz.m.Adam(), tz.m.LR(1e-3))


class Ensemble:
    """Networks with one hidden nonlinearity, and a batch of random data for each of them."""

    def __init__(self, networks: int, widths: tuple[int, ...], batch: int) -> None:
        g = torch.Generator().manual_seed(0)
        layers = itertools.pairwise(widths)
        self.params: Any = [
            (torch.randn(networks, n, m, generator=g) / n**0.5, torch.zeros(networks, m)) for n, m in layers
        ]
        self.x = torch.randn(networks, batch, widths[0], generator=g)
        self.y = torch.randint(widths[-1], (networks, batch), generator=g)
        self.state: Any = torch.vmap(OPT.init)(self.params)


def loss(params: Params, x: Tensor, y: Tensor) -> Tensor:
    """The cross entropy of one network."""
    for W, b in params[:-1]:
        x = torch.relu(x @ W + b)
    W, b = params[-1]
    logp = torch.log_softmax(x @ W + b, -1)
    return -logp.gather(-1, y.unsqueeze(-1)).mean()


def step(params: Params, state: Any, x: Tensor, y: Tensor) -> tuple[Params, Any]:
    """A step of one network."""
    return OPT(params, state, grad=torch.func.grad(loss)(params, x, y))


def stepper(ensemble: Ensemble, take: Callable[..., tuple[Any, Any]]) -> Step:
    """Steps from each point to the next."""
    at = [ensemble.params, ensemble.state]

    def run() -> None:
        at[:] = take(*at, ensemble.x, ensemble.y)

    return run


def looped(params: list[Params], state: list[Any], x: Tensor, y: Tensor) -> tuple[list[Params], list[Any]]:
    """The step for one network after the other; parameters and states are lists."""
    done = [step(*one) for one in zip(params, state, x, y, strict=True)]
    return [p for p, _ in done], [s for _, s in done]


def apart(ensemble: Ensemble) -> Ensemble:
    """The same networks one by one, for `looped`."""
    n = len(ensemble.x)
    ensemble.params, ensemble.state = (
        [tz.tree.map(lambda x, i=i: x[i].clone(), full) for i in range(n)] for full in (ensemble.params, ensemble.state)
    )
    return ensemble


def optax_stepper(ensemble: Ensemble) -> Step:
    """Steps of optax under jit(vmap)."""
    import jax
    import jax.numpy as jnp
    import optax

    opt = optax.adam(1e-3)
    params = [tuple(jnp.asarray(v.numpy()) for v in layer) for layer in ensemble.params]
    x, y = jnp.asarray(ensemble.x.numpy()), jnp.asarray(ensemble.y.numpy().astype("int32"))

    def loss(params: Any, x: Any, y: Any) -> Any:
        for W, b in params[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = params[-1]
        logp = jax.nn.log_softmax(x @ W + b)
        return -jnp.take_along_axis(logp, y[:, None], -1).mean()

    def step(params: Any, state: Any, x: Any, y: Any) -> Any:
        updates, state = opt.update(jax.grad(loss)(params, x, y), state)
        return optax.apply_updates(params, updates), state

    take = jax.jit(jax.vmap(step))
    at = [params, jax.vmap(opt.init)(params)]

    def run() -> None:
        at[:] = jax.block_until_ready(take(*at, x, y))

    return run


def eager(networks: int, widths: tuple[int, ...], batch: int, rounds: int) -> float:
    """How many times faster than the loop: prints, and returns, the ratio."""
    steps = {
        "vmapped": stepper(Ensemble(networks, widths, batch), torch.vmap(step)),
        "loop": stepper(apart(Ensemble(networks, widths, batch)), looped),
    }
    times = interleaved(steps, rounds=rounds)
    print(table(f"{networks} networks {'-'.join(map(str, widths))}, batches of {batch}, eager", times, "vmapped"))
    return statistics.median(b / a for a, b in zip(times["vmapped"], times["loop"], strict=True))


def main(threads: int = 1) -> None:
    """Print the tables."""
    torch.set_num_threads(threads)
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_setaffinity") else set()
    if cpus:
        os.sched_setaffinity(0, sorted(cpus)[-threads:])
    sizes = 32, (64, 128, 128, 10), 64
    steps = {
        "optax.adam, jit(vmap)": optax_stepper(Ensemble(*sizes)),
        "Adam, LR, compile(vmap)": stepper(Ensemble(*sizes), torch.compile(torch.vmap(step))),
        "Adam, LR, vmap": stepper(Ensemble(*sizes), torch.vmap(step)),
    }
    times = interleaved(steps, rounds=100)
    title = f"32 networks 64-128-128-10, batches of 64, {threads} thread{'s' * (threads > 1)}"
    print(table(title, times, next(iter(steps))), flush=True)
    eager(*sizes, rounds=10)
    eager(32, (8, 16, 16, 2), 8, rounds=10)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
