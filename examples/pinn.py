"""A physics-informed network for Burgers' equation by SSBroyden, L-BFGS and Adam: pinn.py [evaluations] [ν].

Solves u_t + u u_x = (ν/π) u_xx on [-1, 1] × [0, 1] from u(x, 0) = -sin πx; the exact solution is by Cole and Hopf.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

import torchzero as tz

METHODS = {
    "SSBroyden": [tz.m.SSBroyden(), tz.m.StrongWolfe()],
    "L-BFGS": [tz.m.LBFGS(100), tz.m.StrongWolfe()],
    "Adam": [tz.m.Adam(), tz.m.LR(5e-3)],
}
GRID, TIMES = np.linspace(-1, 1, 201), np.linspace(0.1, 1, 10)


def exact(t: float, nu: float) -> np.ndarray:
    """The solution at a time t > 0 on the grid, by Gauss-Hermite quadrature."""
    z, w = np.polynomial.hermite.hermgauss(100)
    y = np.pi * (GRID[:, None] - np.sqrt(4 * nu / np.pi * t) * z)
    f = w * np.exp((1 - np.cos(y)) / (2 * nu))
    return -(np.sin(y) * f).sum(1) / f.sum(1)


def train(name: str, evaluations: float, nu: float) -> tuple[list[tuple[int, float]], np.ndarray]:
    """Relative L2 errors by evaluations spent, and the error at the end: (times, grid)."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1)).double()
    opt = tz.Modular(net.parameters(), METHODS[name])
    inputs = torch.quasirandom.SobolEngine(2).draw(1000).double()
    x, t = (2 * inputs[:, 0] - 1).requires_grad_(), inputs[:, 1].clone().requires_grad_()

    def solution(x: Tensor, t: Tensor) -> Tensor:  # meets initial and boundary values
        return -torch.sin(np.pi * x) + t * (1 - x * x) * net(torch.stack([x, 2 * t - 1], 1)).squeeze(1)

    def closure(backward: bool = True) -> Tensor:
        with torch.enable_grad():  # also for the loss alone: the equation has derivatives in it
            u = solution(x, t)
            u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
            (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
            loss = (u_t + u * u_x - nu / np.pi * u_xx).square().mean()
        if backward:
            opt.zero_grad()
            loss.backward(inputs=list(net.parameters()))
        return loss

    truth, curve = np.stack([exact(s, nu) for s in TIMES]), []
    at_t, at_x = torch.cartesian_prod(torch.from_numpy(TIMES), torch.from_numpy(GRID)).T
    while opt.num_evaluations < evaluations:
        opt.step(closure)
        error = solution(at_x, at_t).detach().numpy().reshape(truth.shape) - truth
        curve.append((opt.num_evaluations, float(np.linalg.norm(error) / np.linalg.norm(truth))))
    return curve, error


def main(evaluations: float = 2000, nu: float = 0.03) -> dict[str, float]:
    """Print and plot the errors; the last one of each method."""
    found = {name: train(name, evaluations, nu) for name in METHODS}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, (curve, error) in found.items():
        print(f"{name:10} relative L2 error {curve[-1][1]:.1e} after {curve[-1][0]} evaluations")
        left.semilogy(*zip(*curve, strict=True), label=name)
        right.semilogy(GRID[1:-1], np.abs(error[-1, 1:-1]))
    left.set(xlabel="evaluations", title="relative L2 error")
    left.legend()
    right.set(xlabel="x", title="error at t = 1")
    figure.savefig("pinn.png", dpi=120)
    plt.close(figure)
    return {name: curve[-1][1] for name, (curve, _) in found.items()}


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
