"""minimize: from a function and a starting point to a result."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from torchzero.core import tree
from torchzero.core.chain import Chainable
from torchzero.core.clashes import clashes
from torchzero.core.control import concrete, while_loop
from torchzero.core.objective import Objective, as_objective
from torchzero.core.tree import Tree
from torchzero.core.warn import warn
from torchzero.minimization import result as codes
from torchzero.minimization.implicit import implicit
from torchzero.minimization.methods import method_named
from torchzero.minimization.result import Result
from torchzero.minimization.run import Carry, Run
from torchzero.minimization.run_by_values import RunByValues, by_values


def minimize(
    f: Callable[[Any], Tensor] | Objective,
    x0: Tree,
    method: str | Chainable | None = None,
    *,
    tol: float | Tensor | None = None,
    max_iterations: int = 1000,
    max_evaluations: int | None = None,
    callback: Callable[[Result], Any] | None = None,
    progress: bool = False,
    differentiate: str | None = "auto",
) -> Result:
    r"""Minimise a function, in the manner of scipy.optimize.minimize, over any tree of tensors.

    Vmappable over x0 and over whatever `f` closes over: every lane runs until it is done, and the loop ends with the
    last. `x0` is never touched.

    With `differentiate="implicit"` derivatives of `x` with respect to what `f` closes over are those of the exact
    minimiser by the implicit function theorem, $∂x/∂θ = -H^{-1}\,∂²f/∂x∂θ$, whatever the method, at the cost of one
    Hessian and one linear system. With "unrolled" they go through every step taken; with None there are none.

    Methods that look at values alone (Nelder-Mead, CMA-ES, ...) never ask `f` for a gradient: it need not be
    differentiable, and `x` is the best point evaluated. They have converged when the search is narrower than `tol`.

    Args:
        f: params -> loss, 0-d; or residuals, any other shape, for least squares ½‖r‖².
        x0: where to start.
        method: a name (see `torchzero.minimization.METHODS`), a module or a sequence of modules; by default L-BFGS
            with a strong Wolfe search, or for residuals Levenberg-Marquardt.
        tol: stop when no element of the gradient exceeds this; by default the cube root of the dtype's precision,
            squared. By values alone: when the search looks no further than this from where it stands, in any element;
            by default the square root of the precision.
        max_iterations: most steps to take.
        max_evaluations: stop once `f` has been evaluated this often.
        callback: called with a `Result` after every step, when not vmapped; a true return value stops.
        progress: show a progress bar (needs tqdm).
        differentiate: "implicit", "unrolled" or None; by default "implicit" if the method uses gradients, else None.

    Raises:
        ValueError: for an unknown method or mode, or a budget below one.
        TypeError: for parameters that are not floating point.

    >>> import torchzero as tz
    >>> x0 = {"x": torch.zeros(()), "y": torch.zeros(())}
    >>> result = tz.minimize(lambda p: (p["x"] - 1) ** 2 + (p["y"] + 2) ** 2, x0)
    >>> result.message
    'converged: the gradient is below the tolerance'
    >>> result.x["y"]
    tensor(-2.)

    Reference: Nocedal & Wright 2006, Numerical Optimization; for the derivative: Krantz & Parks 2003.
    """
    _check(x0, max_iterations, max_evaluations, differentiate)
    objective = as_objective(f)
    assert objective is not None
    opt = method_named(method, objective, x0)
    values_alone = by_values(opt)
    if differentiate == "auto":
        differentiate = None if values_alone else "implicit"
    if differentiate == "implicit":
        x0 = tree.map(torch.Tensor.detach, x0)
    for sentence in clashes(opt):
        warn(f"minimize: {sentence}")
    eps = torch.finfo(tree.reference(x0).dtype).eps
    limit = eps ** (1 / 2 if values_alone else 2 / 3) if tol is None else tol
    run = (RunByValues if values_alone else Run)(objective, opt, limit, max_evaluations)
    with contextlib.nullcontext() if differentiate == "unrolled" else torch.no_grad():
        carry = run.start(x0)
        if callback is None and not progress:
            carry = while_loop(lambda c: c.status == codes.RUNNING, run.step, carry, max_iterations)
        else:
            carry = _watched(run, carry, max_iterations, callback, progress)
    found = carry.result()
    if differentiate == "implicit":
        return found._replace(x=implicit(objective, found.x))
    return found


def _watched(
    run: Run | RunByValues, carry: Carry, max_iterations: int, callback: Callable[[Result], Any] | None, progress: bool
) -> Carry:
    """The loop in Python, so that somebody can look on."""
    with _bar(max_iterations) if progress else contextlib.nullcontext() as bar:
        for _ in range(max_iterations):
            if not concrete(carry.status == codes.RUNNING):
                break
            carry = run.step(carry)
            if bar is not None:
                bar.update()
                bar.set_postfix(value=f"{float(carry.value):.6g}", gradient=f"{float(carry.grad_norm):.2g}")
            if callback is not None and callback(carry.result()):
                running = carry.status == codes.RUNNING
                return carry._replace(status=torch.where(running, codes.TERMINATED, carry.status))
    return carry


def _bar(total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as e:
        raise ImportError("minimize(progress=True) needs tqdm: pip install torchzero[examples]") from e
    return tqdm(total=total)


def _check(x0: Tree, max_iterations: int, max_evaluations: int | None, differentiate: str | None) -> None:
    for name, value in (("max_iterations", max_iterations), ("max_evaluations", max_evaluations)):
        if value is not None and value < 1:
            raise ValueError(f"minimize({name}={value}): must be an integer in [1, inf)")
    if differentiate not in ("auto", "implicit", "unrolled", None):
        raise ValueError(f"minimize(differentiate={differentiate!r}): must be 'auto', 'implicit', 'unrolled' or None")
    for path, x in zip(tree.paths(x0), tree.leaves(x0), strict=True):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"minimize(x0): the leaf {path!r} must be a floating point tensor, got {kind}")
