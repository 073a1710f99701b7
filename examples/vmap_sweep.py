"""Train 64 networks at once, each with its own learning rate and its own start, by vmapping the whole training step.

    python examples/vmap_sweep.py [--steps 300]

The learning rate is a leaf of the module, so a sweep is `torch.vmap` over it: one batched program, no loop over runs.
Writes vmap_sweep.png.
"""

import argparse

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import torchzero as tz

RUNS = 64


def spirals(n: int) -> tuple[Tensor, Tensor]:
    """Two interleaved spirals: points (2n, 2) and classes (2n,)."""
    t = torch.linspace(0.5, 3.0, n) * torch.pi
    arm = torch.stack([t * torch.cos(t), t * torch.sin(t)], dim=1) / 5
    points = torch.cat([arm, -arm]) + 0.05 * torch.randn(2 * n, 2)
    return points, torch.cat([torch.zeros(n), torch.ones(n)])


def start() -> dict[str, Tensor]:
    """Weights of a 2-32-32-1 network for every run, drawn independently."""
    shapes = {"w1": (2, 32), "b1": (32,), "w2": (32, 32), "b2": (32,), "w3": (32, 1), "b3": (1,)}
    return {k: torch.randn(RUNS, *s) / s[0] ** 0.5 if k[0] == "w" else torch.zeros(RUNS, *s) for k, s in shapes.items()}


def logits(w: dict[str, Tensor], x: Tensor) -> Tensor:
    h = torch.tanh(x @ w["w1"] + w["b1"])
    h = torch.tanh(h @ w["w2"] + w["b2"])
    return (h @ w["w3"] + w["b3"])[:, 0]


def main(arguments: list[str] | None = None) -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    steps = parser.parse_args(arguments).steps
    torch.manual_seed(0)
    x, y = spirals(100)
    rates = torch.logspace(-4.5, 0.5, RUNS)  # (64,)

    def loss(w: dict[str, Tensor]) -> Tensor:
        return torch.nn.functional.binary_cross_entropy_with_logits(logits(w, x), y)

    def optimizer(lr: Tensor) -> tz.Module:
        return tz.Chain(tz.m.Adam(), tz.m.LR(lr))

    def step(w: dict[str, Tensor], state: object, lr: Tensor) -> tuple[dict[str, Tensor], object]:
        return optimizer(lr)(w, state, loss)

    w = start()
    state = torch.vmap(lambda w, lr: optimizer(lr).init(w))(w, rates)
    train, evaluate = torch.vmap(step), torch.vmap(loss)
    curves = [evaluate(w)]
    for _ in range(steps):
        w, state = train(w, state, rates)
        curves.append(evaluate(w))
    history = torch.stack(curves)  # (steps + 1, 64)

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for i, color in enumerate(plt.cm.viridis(torch.linspace(0, 1, RUNS).numpy())):
        left.semilogy(history[:, i], color=color, linewidth=0.8)
    left.set(xlabel="step", ylabel="loss", title="64 networks, coloured by learning rate", ylim=(1e-4, 10))
    right.loglog(rates, history[-1], "o-", markersize=3)
    best = int(history[-1].argmin())
    right.plot(rates[best], history[-1, best], "o", color="C3", label=f"best: {rates[best]:.3g}")
    right.set(xlabel="learning rate", ylabel=f"loss after {steps} steps", title="which learning rate?")
    right.legend()
    figure.savefig("vmap_sweep.png", dpi=150)
    plt.close(figure)
    print(f"best of {RUNS} learning rates: {rates[best]:.3g}, loss {history[-1, best]:.2g}")
    return history[-1].tolist()


if __name__ == "__main__":
    main()
