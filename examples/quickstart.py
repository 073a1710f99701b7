"""Train a small network on scikit-learn's handwritten digits with Cautious Adam.

    python examples/quickstart.py [epochs]

Real data that comes with scikit-learn, nothing to download; writes quickstart.png.
"""

import sys

import matplotlib.pyplot as plt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

import torchzero as tz


def main(epochs: int = 30) -> float:
    torch.manual_seed(0)

    # 1797 images of 8 by 8 pixels with values 0 to 16, a quarter of them held out
    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images / 16, labels, test_size=0.25, random_state=0, stratify=labels)
    x_train, x_test = (torch.tensor(x, dtype=torch.float32).reshape(-1, 1, 8, 8) for x in split[:2])
    y_train, y_test = (torch.tensor(y) for y in split[2:])
    loader = DataLoader(TensorDataset(x_train, y_train), batch_size=64, shuffle=True)

    model = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.ReLU()),
        *(torch.nn.Conv2d(32, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.Linear(1024, 10)),
    )
    criterion = torch.nn.CrossEntropyLoss()

    # Cautious Adam with gradient clipping and decoupled weight decay
    opt = tz.Modular(
        model.parameters(),
        tz.m.ClipValue(1),
        tz.m.Adam(),
        tz.m.LR(3e-3),
        tz.m.Cautious(),
        tz.m.WeightDecay(1e-4),
    )

    losses, accuracies = [], []
    bar = tqdm(range(epochs), unit="epoch")
    for _ in bar:
        total = 0.0
        for inputs, targets in loader:
            loss = criterion(model(inputs), targets)
            opt.zero_grad()
            loss.backward()
            opt.step()
            total += loss.item() * len(inputs)
        with torch.no_grad():
            accuracies.append((model(x_test).argmax(1) == y_test).float().mean().item())
        losses.append(total / len(x_train))
        bar.set_postfix(loss=f"{losses[-1]:.4f}", accuracy=f"{accuracies[-1]:.1%}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.semilogy(range(1, epochs + 1), losses)
    left.set(xlabel="epoch", ylabel="training loss", title="cross-entropy")
    right.plot(range(1, epochs + 1), accuracies, color="C1")
    right.axhline(0.97, color="grey", linestyle=":", label="97 %")
    right.set(xlabel="epoch", ylabel="test accuracy", title=f"test accuracy {accuracies[-1]:.1%}", ylim=(0.8, 1))
    right.legend(loc="lower right")
    figure.savefig("quickstart.png", dpi=150)
    plt.close(figure)
    print(f"test accuracy {accuracies[-1]:.1%} after {epochs} epochs; curves in quickstart.png")
    return accuracies[-1]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
