"""Meta-learning: a network that fits any sine wave in five steps of Adam from ten points.

    python examples/maml_sinusoid.py [--steps 400]

The inner optimizer is a pure function, so the loss after five Adam steps is differentiated with respect to where they start
*and* to a learning rate for every parameter tensor. Writes maml_sinusoid.png.

Finn, Abbeel & Levine 2017, https://arxiv.org/abs/1703.03400; learned rates: Li et al. 2017, https://arxiv.org/abs/1707.09835
"""

import argparse
import math

import matplotlib.pyplot as plt
import torch
from torch import Tensor

import torchzero as tz

INNER_STEPS = 5


def net(w: dict[str, Tensor], x: Tensor) -> Tensor:
    h = torch.tanh(x[:, None] @ w["w1"] + w["b1"])  # (points, 40)
    h = torch.tanh(h @ w["w2"] + w["b2"])
    return (h @ w["w3"])[:, 0] + w["b3"]  # (points,)


def mse(w: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
    return torch.mean((net(w, x) - y) ** 2)


def adapt(meta: dict[str, dict[str, Tensor]], x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Weights after a few steps of Adam on the points (x, y); the learning rates are a tree like the weights."""
    opt = tz.Chain(tz.m.Adam(eps=1e-3), tz.m.LR(tz.tree.map(torch.exp, meta["log_lr"])))
    w, state = meta["start"], opt.init(meta["start"])
    for _ in range(INNER_STEPS):
        w, state = opt(w, state, lambda w: mse(w, x, y))
    return w


def draw_tasks(n: int) -> tuple[Tensor, Tensor]:
    """Ten points to learn from and ten to be judged by, for each of n sine waves: x and y of shape (n, 20)."""
    amplitude, phase = 0.1 + 4.9 * torch.rand(n, 1), math.pi * torch.rand(n, 1)
    x = 10 * torch.rand(n, 20) - 5
    return x, amplitude * torch.sin(x - phase)


def meta_loss(meta: dict[str, dict[str, Tensor]], x: Tensor, y: Tensor) -> Tensor:
    """Mean loss on unseen points after adaptation, over a batch of tasks."""
    losses = torch.vmap(lambda x, y: mse(adapt(meta, x[:10], y[:10]), x[10:], y[10:]))(x, y)
    return losses.mean()


def main(arguments: list[str] | None = None) -> tuple[float, float]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args(arguments)
    torch.manual_seed(0)

    shapes = {"w1": (1, 40), "b1": (40,), "w2": (40, 40), "b2": (40,), "w3": (40, 1), "b3": ()}
    start = {k: torch.randn(s) / math.sqrt(s[0]) if k[0] == "w" else torch.zeros(s) for k, s in shapes.items()}
    meta = {"start": start, "log_lr": {k: torch.tensor(math.log(1e-2)) for k in start}}
    x, y = draw_tasks(200)  # waves that are never trained on
    before = meta_loss(meta, x, y).item()

    outer = tz.Chain(tz.m.ClipNorm(1.0, dim="global"), tz.m.Adam(), tz.m.LR(3e-3))
    state = outer.init(meta)
    for _ in range(args.steps):
        batch = draw_tasks(25)
        meta, state = outer(meta, state, lambda meta, batch=batch: meta_loss(meta, *batch))
    after = meta_loss(meta, x, y).item()
    print(f"loss on new waves after {INNER_STEPS} steps: {before:.3f} before, {after:.3f} after meta-training")

    grid = torch.linspace(-5, 5, 200)
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained")
    for i, axis in enumerate(axes[:2]):
        axis.plot(grid, net(meta["start"], grid), "--", color="grey", label="start")
        axis.plot(grid, net(adapt(meta, x[i, :10], y[i, :10]), grid), label=f"after {INNER_STEPS} steps")
        axis.plot(x[i, :10], y[i, :10], "o", color="C3", label="points learned from")
        axis.plot(x[i, 10:], y[i, 10:], "x", color="C2", label="points judged by")
        axis.set(xlabel="x", ylabel="y", title=f"new wave {i + 1}")
    axes[0].legend(fontsize="small")
    axes[2].bar(list(meta["log_lr"]), [v.exp().item() for v in meta["log_lr"].values()])
    axes[2].set(xlabel="parameter", ylabel="learning rate", title="learned rates (all began at 0.01)")
    figure.savefig("maml_sinusoid.png", dpi=150)
    plt.close(figure)
    return before, after


if __name__ == "__main__":
    main()
