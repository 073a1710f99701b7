"""Draw the path of every method on functions of two variables into docs/gallery/, and write docs/gallery.md.

python scripts/gallery.py            all
python scripts/gallery.py lbfgs cg   only these pictures
"""

import io
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor

ROOT = pathlib.Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import torchzero as tz
from torchzero.minimization import METHODS

FOLDER = ROOT / "docs" / "gallery"
MAX_STEPS = 300
PATIENCE = 20  # steps that move nothing, as when Cautious drops everything


class Problem(NamedTuple):
    """A function of two variables, as residuals where it is a sum of squares."""

    title: str
    fn: Callable[[Tensor], Tensor]
    start: tuple[float, float]
    minima: list[tuple[float, float]]
    box: tuple[float, float, float, float]  # left, right, bottom, top
    lr: float  # a step that suits its gradients
    squares: bool = True

    def loss(self, x: Tensor) -> Tensor:
        out = self.fn(x)
        return 0.5 * (out * out).sum() if self.squares else out


def rosenbrock(x: Tensor) -> Tensor:
    """100 (y - x²)² + (1 - x)²."""
    return 2**0.5 * torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def himmelblau(x: Tensor) -> Tensor:
    """(x² + y - 11)² + (x + y² - 7)²."""
    return 2**0.5 * torch.stack([x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7])


def booth(x: Tensor) -> Tensor:
    """(x + 2y - 7)² + (2x + y - 5)²."""
    return 2**0.5 * torch.stack([x[0] + 2 * x[1] - 7, 2 * x[0] + x[1] - 5])


def rastrigin(x: Tensor) -> Tensor:
    """20 + x² - 10 cos 2πx + y² - 10 cos 2πy."""
    return (x**2 - 10 * torch.cos(2 * torch.pi * x) + 10).sum()


FOUR = [(3.0, 2.0), (-2.805118, 3.131312), (-3.77931, -3.283186), (3.584428, -1.848126)]
PROBLEMS = [
    Problem("Rosenbrock", rosenbrock, (-1.2, 1.0), [(1.0, 1.0)], (-2, 2, -1, 3), 1e-3),
    Problem("Himmelblau", himmelblau, (0.5, 4.5), FOUR, (-5, 5, -5, 5), 1e-2),
    Problem("Booth", booth, (-6.0, 4.0), [(1.0, 3.0)], (-8, 8, -8, 8), 5e-2),
    Problem("Rastrigin", rastrigin, (-1.8, 1.3), [(0.0, 0.0)], (-2.5, 2.5, -2.5, 2.5), 2e-3, squares=False),
]

# Titles of sections to modules as a user would write them; `lr` is that of the problem.
CHAINS: dict[str, list[str]] = {
    "Line searches": [
        "Backtracking()",
        "AdaptiveBacktracking()",
        "AdaptiveBisection()",
        "HagerZhangLineSearch()",
        "StrongWolfe()",
        "GridLineSearch(0, 4 * lr, 16)",
    ],
    "Conjugate gradients": [
        "FletcherReeves(), StrongWolfe(c2=0.1)",
        "HestenesStiefel(), StrongWolfe(c2=0.1)",
        "DaiYuan(), StrongWolfe(c2=0.1)",
        "HagerZhang(), StrongWolfe(c2=0.1)",
    ],
    "Quasi-Newton": [
        "DFP(), StrongWolfe()",
        "SSBFGS(), StrongWolfe()",
        "LBFGS(), HagerZhangLineSearch()",
        "DiagonalBFGS(), StrongWolfe()",
        "BarzilaiBorwein(alpha_0=0.01)",
    ],
    "Newton and trust regions": [
        "ImprovedNewton(eigval_fn=torch.abs), Backtracking()",
        "NewtonCGSteihaug()",
        "TrustCG(LSR1())",
        "TrustCG(PSB(inverse=False))",
        "TrustCG(Newton())",
        "Dogleg(BFGS(inverse=False))",
        "CubicRegularization(Newton(), indefinite='global')",
        "LevenbergMarquardt(LBFGS())",
    ],
    "First order": [
        "LR(lr)",
        "HeavyBall(0.9), LR(lr)",
        "NAG(0.9), LR(lr)",
        "Rprop(), LR(0.1)",
        "Adam(0.9, 0.99), LR(0.1)",
        "Adam(0.9, 0.99), LR(0.1), Cautious()",
        "SOAP(), LR(0.1)",
        "SAM(0.05), Adam(0.9, 0.99), LR(0.1)",
    ],
    "Without derivatives": [
        "FDM(), LBFGS(), Backtracking()",
        "SPSA(seed=0), Adam(0.9, 0.99), LR(0.1)",
        "GaussianSmoothing(h=0.1, seed=0), Adam(0.9, 0.99), LR(0.1)",
    ],
}


class Path(NamedTuple):
    """Where a method went."""

    points: np.ndarray  # (steps + 1, 2)
    value: float  # at the end
    calls: int  # of the function, with or without its gradient
    found: bool  # whether it ended at a minimum that is a global one


def follow(problem: Problem, method: Any) -> Path:
    """Run a method until the gradient vanishes or nothing moves."""
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return problem.fn(x)

    torch.manual_seed(0)
    opt, objective = tz.maybe_chain(method), tz.FunctionObjective(f)
    x = torch.tensor(problem.start, dtype=torch.float64)
    state, points, still, known = opt.init(x), [x], 0, (None, None)
    while len(points) <= MAX_STEPS and still <= PATIENCE and torch.func.grad(problem.loss)(x).abs().max() > 1e-6:
        loss, grad = known
        state, var = opt.step(state, tz.Var(x, objective=objective, loss=loss, grad=grad, step=len(points) - 1))
        x, known = tz.apply_update(var), var.accepted or (None, None)
        still = still + 1 if torch.equal(x, points[-1]) else 0
        points.append(x)
    found = any((x - torch.tensor(m, dtype=x.dtype)).abs().max() < 1e-2 for m in problem.minima)
    return Path(torch.stack(points).numpy(), problem.loss(x).item(), calls, found)


def draw(paths: list[Path]) -> bytes:
    """The four paths as one small PNG."""
    figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
    for axis, problem, path in zip(axes, PROBLEMS, paths, strict=True):
        left, right, bottom, top = problem.box
        grid = torch.stack(
            torch.meshgrid(torch.linspace(left, right, 160), torch.linspace(bottom, top, 160), indexing="xy")
        )
        level = torch.vmap(torch.vmap(problem.loss, 1), 1)(grid).numpy()
        axis.contourf(*grid.numpy(), np.log1p(level), 12, cmap="Blues_r", alpha=0.7)
        for minimum in problem.minima:
            axis.plot(*minimum, "*", color="gold", ms=11, mec="black", mew=0.6)
        axis.plot(*path.points.T, ".-", color="firebrick", lw=1, ms=3.5)
        axis.plot(*path.points[0], "o", color="white", mec="black", ms=5)
        axis.plot(*path.points[-1], "s", color="firebrick", mec="black", ms=5)
        end = f"{path.value:.1e}" if abs(path.value) > 1e-10 else "0"
        axis.set_title(f"{problem.title}: {end}\n{len(path.points) - 1} steps, {path.calls} calls", fontsize=9)
        axis.set(xlim=(left, right), ylim=(bottom, top), xticks=[], yticks=[])
    out = io.BytesIO()
    figure.savefig(out, dpi=75)
    plt.close(figure)
    small = io.BytesIO()
    Image.open(out).convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


def entries() -> dict[str, list[tuple[str, str, Callable[[Problem], Any]]]]:
    """By section: the picture's name, its caption, and what makes the method."""
    named = [(name, f'`method="{name}"`', lambda _, name=name: METHODS[name]()) for name in METHODS]
    out = {"Methods of `tz.minimize`": named}
    for section, chains in CHAINS.items():
        out[section] = []
        for text in chains:
            stem = "-".join(re.findall(r"[a-z0-9]+", text.lower()))

            def make(problem: Problem, text: str = text) -> Any:
                return eval(f"[{text}]", {**vars(tz.m), "torch": torch, "lr": problem.lr})

            caption = ", ".join(re.sub(r"\b([A-Z])", r"tz.m.\1", text).split(", "))
            out[section].append((stem, f"`{caption}`", make))
    return out


HEAD = """# Gallery

The path of every method that `tz.minimize` knows by name, and of some chains, on four functions of two variables. The
white circle is where it starts, the red square where it ends, stars are global minima; every dot is a step. Above each
picture stand the function at the end, the steps, and the calls of the function, of
which one may be a batch of points. A run ends when no element of the gradient exceeds 10⁻⁶, when nothing moves any
more, or after {steps} steps; `lr` is {rates}.
Rastrigin's function has a local minimum near every point with whole coordinates, and who follows the slope ends in one
of them. [How to choose a method](choosing.md) says what suits what.

Written by `python scripts/gallery.py`.
"""


def main(*only: str) -> None:
    """Draw the pictures asked for, or all and the page."""
    FOLDER.mkdir(exist_ok=True)
    rates = ", ".join(f"{p.lr:g} for {p.title}" for p in PROBLEMS)
    page = [HEAD.format(steps=MAX_STEPS, rates=rates)]
    for section, pictures in entries().items():
        page.append(f"\n## {section}\n")
        for stem, caption, make in pictures:
            page += [f"{caption}\n", f"![The path of {caption.strip('`')}](gallery/{stem}.png)\n"]
            if only and stem not in only:
                continue
            paths = [follow(problem, make(problem)) for problem in PROBLEMS]
            (FOLDER / f"{stem}.png").write_bytes(draw(paths))
            report = (f"{len(p.points) - 1:4} {p.value:9.1e} {'' if p.found else 'elsewhere':9}" for p in paths)
            print(f"{stem:45}", *report, flush=True)
    if not only:
        (ROOT / "docs" / "gallery.md").write_text("\n".join(page), encoding="utf-8")
        names = {f"{stem}.png" for pictures in entries().values() for stem, _, _ in pictures}
        for old in FOLDER.glob("*.png"):
            if old.name not in names:
                old.unlink()


if __name__ == "__main__":
    main(*sys.argv[1:])
