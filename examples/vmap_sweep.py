"""Train 64 networks at once, each with its own learning rate and its own start, by vmapping the whole training step.

    python examples/vmap_sweep.py [steps]

The learning rate is a leaf of the module, so a sweep is `torch.vmap` over it. Writes vmap_sweep.png.
"""

import sys
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import torchzero as tz

RUNS = 64


def spirals(n: int) -> tuple[Tensor, Tensor]:
    """Two interleaved spirals: points (2n, 2) and classes (2n,)."""
    t = torch.linspace(0.5, 3.0, n) * torch.pi
    arm = torch.stack([t * torch.cos(t), t * torch.sin(t)], dim=1) / 5
    return torch.cat([arm, -arm]) + 0.05 * torch.randn(2 * n, 2), torch.cat([torch.zeros(n), torch.ones(n)])


def start() -> dict[str, Tensor]:
    """Weights of a 2-32-32-1 network for every run, drawn independently: each (64, ...)."""
    shapes = {"w1": (2, 32), "b1": (32,), "w2": (32, 32), "b2": (32,), "w3": (32, 1), "b3": (1,)}
    return {k: torch.randn(RUNS, *s) / s[0] ** 0.5 if k[0] == "w" else torch.zeros(RUNS, *s) for k, s in shapes.items()}


def logits(w: dict[str, Tensor], x: Tensor) -> Tensor:
    h = torch.tanh(x @ w["w1"] + w["b1"])
    h = torch.tanh(h @ w["w2"] + w["b2"])
    return (h @ w["w3"] + w["b3"])[:, 0]


def main(steps: int = 300) -> list[float]:
    torch.manual_seed(0)
    x, y = spirals(100)
    rates = torch.logspace(-4.5, 0.5, RUNS)  # (64,)

    def loss(w: dict[str, Tensor]) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits(w, x), y)

    def optimizer(lr: Tensor) -> tz.Module:
        return tz.Chain(tz.m.Adam(), tz.m.LR(lr))

    def step(w: dict[str, Tensor], state: Any, lr: Tensor) -> tuple[dict[str, Tensor], Any]:
        return optimizer(lr)(w, state, loss)

    w = start()
    state = torch.vmap(lambda w, lr: optimizer(lr).init(w))(w, rates)
    curves = [torch.vmap(loss)(w)]
    for _ in range(steps):
        w, state = torch.vmap(step)(w, state, rates)
        curves.append(torch.vmap(loss)(w))
    history = torch.stack(curves)  # (steps + 1, 64)

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for i, color in enumerate(plt.cm.viridis(torch.linspace(0, 1, RUNS).numpy())):
        left.semilogy(history[:, i], color=color, linewidth=0.8)
    left.set(xlabel="step", ylabel="loss", title="64 networks, coloured by learning rate")
    left.set_ylim(history.min().item() / 2, 10)
    best = int(history[-1].argmin())
    right.loglog(rates, history[-1], "o-", markersize=3)
    right.plot(rates[best], history[-1, best], "o", color="C3", label=f"best: {rates[best]:.3g}")
    right.set(xlabel="learning rate", ylabel=f"loss after {steps} steps", title="which learning rate?")
    right.legend()
    figure.savefig("vmap_sweep.png", dpi=150)
    plt.close(figure)
    print(f"best of {RUNS} learning rates: {rates[best]:.3g}, loss {history[-1, best]:.2g}")
    return history[-1].tolist()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
