"""Learn the learning rate and the betas of Adam for every layer of a network, by hypergradients.

    python examples/learn_hyperparameters.py [rounds]

The loss on held-out images of scikit-learn's digits after 40 steps is a differentiable function of four learning rates
and eight betas, and each round moves them against its gradient. Writes learn_hyperparameters.png.
"""

import sys

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import cross_entropy

import torchzero as tz

STEPS, BATCH = 40, 64
Tree = dict[str, Tensor]


def net(w: Tree, x: Tensor) -> Tensor:
    return torch.tanh(x @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]  # (images, 10)


def loss(w: Tree, batch: Tree) -> Tensor:
    return cross_entropy(net(w, batch["x"]), batch["y"])


def optimizer(meta: dict[str, Tree]) -> tz.Chain:
    """Adam with settings of its own for every tensor; any number stands for a valid setting."""
    beta1, beta2 = (tz.tree.map(torch.sigmoid, meta[name]) for name in ("beta1", "beta2"))
    return tz.Chain(tz.m.Adam(beta1, beta2, eps=1e-6), tz.m.LR(tz.tree.map(torch.exp, meta["lr"])))


def main(rounds: int = 20) -> tuple[float, float]:
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    train, valid, test = torch.randperm(len(x)).split([1000, 397, 400])

    def draw() -> tuple[Tree, Tree]:
        """A new network, and a batch of images for each of its steps."""
        w = {"w1": torch.randn(64, 48) / 8, "b1": torch.zeros(48), "w2": torch.randn(48, 10) / 7, "b2": torch.zeros(10)}
        rows = train[torch.randint(len(train), (STEPS, BATCH))]
        return w, {"x": x[rows], "y": y[rows]}

    def after(meta: dict[str, Tree], start: Tree, data: Tree, rows: Tensor) -> Tensor:
        end = tz.unroll(optimizer(meta), loss, start, STEPS, data=data).params
        return loss(end, {"x": x[rows], "y": y[rows]})

    names, first = ["w1", "b1", "w2", "b2"], {"lr": -6.9, "beta1": 2.2, "beta2": 6.9}  # 0.001, 0.9, 0.999
    meta = {setting: {name: torch.tensor(value) for name in names} for setting, value in first.items()}
    judges = [draw() for _ in range(5)]
    before = torch.stack([after(meta, *judge, test) for judge in judges]).mean().item()
    outer, curve = tz.Chain(tz.m.Adam(0.8, 0.95), tz.m.LR(0.2)), []
    state = outer.init(meta)
    for _ in range(rounds):
        grad, value = torch.func.grad_and_value(after)(meta, *draw(), valid)
        meta, state = outer(meta, state, grad=grad)
        curve.append(value.item())
    learned = torch.stack([after(meta, *judge, test) for judge in judges]).mean().item()
    print(f"loss on test images after {STEPS} steps: {before:.3f} by default, {learned:.3f} with what was learned")
    adam, lr = optimizer(meta).links
    figure, axes = plt.subplots(1, 4, figsize=(14, 3.5), layout="constrained")
    axes[0].plot(curve)
    axes[0].set(xlabel="round", title="held-out loss")
    for ax, values, name in zip(axes[1:], (lr.lr, adam.beta1, adam.beta2), ("lr", "beta1", "beta2"), strict=True):
        ax.bar(names, [values[k].item() for k in names])
        ax.set(xlabel="tensor", title=f"learned {name}", yscale="log" if name == "lr" else "linear")
    figure.savefig("learn_hyperparameters.png", dpi=150)
    return before, learned


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
