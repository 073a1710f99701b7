"""256 logistic regressions on bootstrap resamples, fitted at once by vmapped L-BFGS, next to a loop and to SciPy."""

import pathlib
import time

import matplotlib.pyplot as plt
import numpy as np
import scipy.optimize
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor

import torchzero as tz

PENALTY = 1e-2


def loss(params: dict[str, Tensor], weight: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Weighted logistic loss with a ridge; `weight` (n,) says how often a resample drew each row."""
    margin = y * (x @ params["w"] + params["b"])
    fit = (weight * torch.nn.functional.softplus(-margin)).sum() / weight.sum()
    return fit + 0.5 * PENALTY * params["w"].square().sum()


def main(resamples: int = 256, plot: str = "batched_lbfgs.png") -> float:
    """Print the times, save the plot, and return how much faster the batch is than the loop."""
    features, labels = load_breast_cancer(return_X_y=True)
    x = torch.from_numpy((features - features.mean(0)) / features.std(0))
    y = torch.from_numpy(2.0 * labels - 1)
    draws = torch.randint(len(y), (resamples, len(y)), generator=torch.Generator().manual_seed(0))
    weights = torch.nn.functional.one_hot(draws, len(y)).sum(1).double()  # (resamples, n)
    start = {"w": torch.zeros(x.shape[1], dtype=torch.float64), "b": torch.zeros((), dtype=torch.float64)}

    def fit(weight: Tensor) -> tuple[Tensor, Tensor]:
        options = {"tol": 1e-6, "max_iterations": 200, "differentiate": None}
        found = tz.minimize(lambda p: loss(p, weight, x, y), start, "lbfgs", **options)
        return found.x["w"], found.iterations

    def by_scipy(weight: Tensor) -> np.ndarray:
        def value_and_grad(z: np.ndarray) -> tuple[float, np.ndarray]:
            at = torch.from_numpy(z).requires_grad_()
            value = loss({"w": at[:-1], "b": at[-1]}, weight, x, y)
            return value.item(), torch.autograd.grad(value, at)[0].numpy()

        found = scipy.optimize.minimize(value_and_grad, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B")
        return found.x[:-1]

    few = min(16, resamples)
    times = {}
    begun = time.perf_counter()
    together, iterations = torch.vmap(fit)(weights)
    times["vmap, all at once"] = (time.perf_counter() - begun) / resamples
    begun = time.perf_counter()
    alone = torch.stack([fit(w)[0] for w in weights[:few]])
    times["one after the other"] = (time.perf_counter() - begun) / few
    begun = time.perf_counter()
    theirs = np.stack([by_scipy(w) for w in weights[:few]])
    times["SciPy, one after the other"] = (time.perf_counter() - begun) / few
    for name, seconds in times.items():
        print(f"{name:28} {1e3 * seconds:8.2f} ms a fit")
    print(
        f"iterations from {int(iterations.min())} to {int(iterations.max())}; largest difference to the loop", end=" "
    )
    print(f"{(together[:few] - alone).abs().max():.1e}, to SciPy {np.abs(together[:few].numpy() - theirs).max():.1e}")
    assert (together[:few] - alone).abs().max() < 1e-6

    order = together.mean(0).abs().argsort(descending=True)[:10]
    plt.figure(figsize=(7, 4), layout="constrained")
    plt.boxplot(together[:, order].numpy(), orientation="horizontal", whis=(5, 95), showfliers=False)
    plt.yticks(range(1, 11), [load_breast_cancer().feature_names[i] for i in order])
    plt.axvline(0, color="gray", lw=0.8)
    plt.title(f"Ten largest coefficients over {resamples} bootstrap fits (5 % to 95 %)")
    plt.savefig(pathlib.Path(plot), dpi=120)
    plt.close()
    return times["one after the other"] / times["vmap, all at once"]


if __name__ == "__main__":
    main()
