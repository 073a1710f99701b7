"""Meta-learning: a network that fits any sine wave in five steps of Adam from ten points.

    python examples/maml_sinusoid.py [steps]

A step is a pure function, so the loss after five is differentiated with respect to their start *and* to a learning rate
for every parameter (https://arxiv.org/abs/1703.03400, https://arxiv.org/abs/1707.09835). Writes maml_sinusoid.png.
"""

import functools
import math
import sys

import matplotlib.pyplot as plt
import torch
from torch import Tensor
from torch.nn.functional import mse_loss as mse

import torchzero as tz

INNER_STEPS = 5
Tree = dict[str, Tensor]


def net(w: Tree, x: Tensor) -> Tensor:
    h = torch.tanh(x[:, None] @ w["w1"] + w["b1"])  # (points, 40)
    h = torch.tanh(h @ w["w2"] + w["b2"])
    return (h @ w["w3"])[:, 0] + w["b3"]  # (points,)


def adapt(meta: dict[str, Tree], x: Tensor, y: Tensor) -> Tree:
    """Weights after a few steps of Adam on the points (x, y); the learning rates are a tree like the weights."""
    opt = tz.Chain(tz.m.Adam(eps=1e-3), tz.m.LR(tz.tree.map(torch.exp, meta["log_lr"])))
    w, state = meta["start"], opt.init(meta["start"])
    for _ in range(INNER_STEPS):
        w, state = opt(w, state, lambda w: mse(net(w, x), y))
    return w


def draw_tasks(n: int) -> tuple[Tensor, Tensor]:
    """Ten points to learn from and ten to be judged by, on each of n sine waves: x and y (n, 20)."""
    amplitude, phase = 0.1 + 4.9 * torch.rand(n, 1), math.pi * torch.rand(n, 1)
    x = 10 * torch.rand(n, 20) - 5
    return x, amplitude * torch.sin(x - phase)


def meta_loss(meta: dict[str, Tree], waves: tuple[Tensor, Tensor]) -> Tensor:
    """Mean loss on unseen points after adaptation, over a batch of waves."""
    return torch.vmap(lambda x, y: mse(net(adapt(meta, x[:10], y[:10]), x[10:]), y[10:]))(*waves).mean()


def main(steps: int = 400) -> tuple[float, float]:
    torch.manual_seed(0)
    shapes = {"w1": (1, 40), "b1": (40,), "w2": (40, 40), "b2": (40,), "w3": (40, 1), "b3": ()}
    start = {k: torch.randn(s) / s[0] ** 0.5 if k[0] == "w" else torch.zeros(s) for k, s in shapes.items()}
    meta = {"start": start, "log_lr": {k: torch.tensor(math.log(1e-2)) for k in start}}
    x, y = new_waves = draw_tasks(200)
    before = meta_loss(meta, new_waves).item()
    outer = tz.Chain(tz.m.ClipNorm(1.0, dim="global"), tz.m.Adam(), tz.m.LR(3e-3))
    state = outer.init(meta)
    for _ in range(steps):
        meta, state = outer(meta, state, functools.partial(meta_loss, waves=draw_tasks(25)))
    after = meta_loss(meta, new_waves).item()
    print(f"loss on new waves after {INNER_STEPS} steps: {before:.3f} before, {after:.3f} after meta-training")
    grid = torch.linspace(-5, 5, 200)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot(grid, net(meta["start"], grid), "--", color="grey", label="start")
    left.plot(grid, net(adapt(meta, x[0, :10], y[0, :10]), grid), label=f"after {INNER_STEPS} steps")
    left.plot(x[0, :10], y[0, :10], "o", label="points learned from")
    left.plot(x[0, 10:], y[0, 10:], "x", color="black", label="points judged by")
    left.set(xlabel="x", ylabel="y", title="a new wave")
    figure.legend(loc="outside lower left", ncols=4, fontsize="small")
    right.bar(list(meta["log_lr"]), [v.exp().item() for v in meta["log_lr"].values()])
    right.set(xlabel="parameter", ylabel="learning rate", title="learned rates (all began at 0.01)")
    figure.savefig("maml_sinusoid.png", dpi=150)
    return before, after


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
