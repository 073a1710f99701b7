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
from torchzero.core.hyper import is_number
from torchzero.core.objective import FunctionObjective, Objective, as_objective
from torchzero.core.tree import Tree
from torchzero.core.warn import warn
from torchzero.minimization import result as codes
from torchzero.minimization.bounds import Inside, as_box
from torchzero.minimization.implicit import implicit
from torchzero.minimization.methods import has_residuals, method_named, only_residuals
from torchzero.minimization.result import Result
from torchzero.minimization.run import Carry, Run
from torchzero.minimization.run_by_values import RunByValues, by_values


def minimize(
    f: Callable[[Any], Tensor] | Objective,
    x0: Tree,
    method: str | Chainable | None = None,
    *,
    bounds: Any = None,
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
    minimiser by the implicit function theorem, $∂x/∂θ = -H^{-1}\,∂²f/∂x∂θ$, whatever the method, at the cost of a
    Hessian and a linear system, or for more than 512 elements of a MINRES solve for each derivative. An element that
    the gradient keeps at a bound moves with the bound alone. The derivative of `value` follows; second derivatives are
    exact as well. With "unrolled" they go through every step taken; with None there are none.

    Methods that look at values alone (Nelder-Mead, CMA-ES, ...) never ask `f` for a gradient: it need not be
    differentiable, and `x` is the best point evaluated. They have converged when the search is narrower than `tol`.

    Args:
        f: params -> loss, 0-d; or residuals, any other shape, for least squares ½‖r‖².
        x0: where to start.
        method: a name (see `torchzero.minimization.METHODS`), a module or a sequence of modules; by default L-BFGS
            with a strong Wolfe search, or for residuals Levenberg-Marquardt, or in bounds L-BFGS-B.
        bounds: (lower, upper), each a number, a tensor that broadcasts, a tree of these like x0 or a prefix of it, or
            None; within a tree, None or an infinite number is no bound. For a vector x0 also what SciPy takes: a list
            of tuples (low, high). `f` is evaluated at no point outside, x0 is moved inside, and converged means that
            no element of the projected gradient $x - P(x - ∇f(x))$ exceeds `tol`. Methods that take bounds:
            "lbfgsb", of which "lbfgs" is here another name, "gd" (projected gradients), "adam" (every step cut), any
            chain with `LBFGSB` or `WithinBounds`, and chains of elementwise modules, which are cut.
        tol: stop when no element of the gradient exceeds this; by default the cube root of the dtype's precision,
            squared. By values alone: when the search looks no further than this from where it stands, in any element;
            by default the square root of the precision.
        max_iterations: most steps to take.
        max_evaluations: take no step once `f` has been evaluated this often.
        callback: called after every step, when not vmapped, with a `Result` of where the method stands; that need not
            be the best point so far, which is what is returned, but by values alone it is. A true return value stops.
        progress: show a progress bar (needs tqdm).
        differentiate: "implicit", which evaluates `f` once more at the end, uncounted, to see whether there is anything
            to differentiate; "unrolled"; or None. By default "implicit" if the method uses gradients, else None.

    Raises:
        ValueError: for an unknown method or mode, a budget below one, bounds that do not fit or cross, a method that
            does not take bounds, or "lm" for a loss that is one number; for a callback or a progress bar under vmap.
        TypeError: for parameters that are not floating point, bounds that are no pair, and other wrong types.

    >>> import torchzero as tz
    >>> x0 = {"x": torch.zeros(()), "y": torch.zeros(())}
    >>> result = tz.minimize(lambda p: (p["x"] - 1) ** 2 + (p["y"] + 2) ** 2, x0)
    >>> result.message
    'converged: the gradient is below the tolerance'
    >>> result.x["y"].round(decimals=4)
    tensor(-2.)
    >>> tz.minimize(lambda x: ((x - 3) ** 2).sum(), torch.zeros(2), bounds=(None, torch.tensor([1.0, 5.0]))).x
    tensor([1., 3.])

    Reference: Nocedal & Wright 2006, Numerical Optimization; for the derivative: Krantz & Parks 2003.
    """
    _check(f, x0, tol, max_iterations, max_evaluations, callback, differentiate)
    whole = as_objective(f)
    assert whole is not None
    objective: Objective = whole
    box = as_box(bounds, x0)
    unrolled = differentiate == "unrolled"
    with contextlib.nullcontext() if unrolled else torch.no_grad():
        x0 = tree.map(lambda x: (x if unrolled else x.detach()).clone(), x0)
        within = box if box is None or unrolled else box.detached()
        if within is not None:
            x0, objective = within.project(x0), Inside(whole, within)
        guess = method is None and within is None
        if method == "lm" and type(whole) is FunctionObjective:
            objective = FunctionObjective(only_residuals(whole.fn))
        if method is None:
            method = "lbfgsb" if within is not None else "lm" if has_residuals(whole, x0) else "lbfgs"
        opt = method_named(method, within)
        for sentence in clashes(opt):
            warn(f"minimize: {sentence}")
        values_alone = within is None and by_values(opt)
        if differentiate == "auto":
            differentiate = None if values_alone else "implicit"
        eps = torch.finfo(tree.reference(x0).dtype).eps
        limit = eps ** (1 / 2 if values_alone else 2 / 3) if tol is None else tol
        if values_alone:
            run = RunByValues(objective, opt, limit, max_evaluations)
            carry = run.start(x0)
        else:
            run = Run(objective, opt, limit, max_evaluations, within)
            carry = run.start(x0, int(guess))
        if callback is None and not progress:
            carry = while_loop(lambda c: c.status == codes.RUNNING, run.step, carry, max_iterations)
        else:
            carry = _watched(run, carry, max_iterations, callback, progress)
    found = carry.result()
    if differentiate == "implicit":
        x, value = implicit(whole, found.x, found.value, box)
        return found._replace(x=x, value=value)
    return found


def _watched(
    run: Run | RunByValues, carry: Carry, max_iterations: int, callback: Callable[[Result], Any] | None, progress: bool
) -> Carry:
    """The loop in Python, so that somebody can look on."""
    with _bar(max_iterations) if progress else contextlib.nullcontext() as bar:
        for _ in range(max_iterations):
            running = concrete(carry.status == codes.RUNNING)
            if running is None:
                raise ValueError(
                    "minimize(callback=..., progress=...): cannot look on under vmap or compile, where there is no one "
                    "step to see; leave them out, or minimize in a loop"
                )
            if not running:
                break
            carry = run.step(carry)
            if bar is not None:
                bar.update()
                bar.set_postfix(value=f"{float(carry.value):.6g}", gradient=f"{float(carry.grad_norm):.2g}")
            if callback is not None and callback(carry.now()):
                running = carry.status == codes.RUNNING
                return carry._replace(status=torch.where(running, codes.TERMINATED, carry.status))
    return carry


def _bar(total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as e:
        raise ImportError("minimize(progress=True) needs tqdm: pip install tqdm") from e
    return tqdm(total=total)


def _check(
    f: Any, x0: Tree, tol: Any, max_iterations: Any, max_evaluations: Any, callback: Any, differentiate: Any
) -> None:
    if not (callable(f) or isinstance(f, Objective)):
        raise TypeError(f"minimize(f={f!r}): must be a function of the parameters, or an Objective")
    for name, value in (("max_iterations", max_iterations), ("max_evaluations", max_evaluations)):
        if value is None and name == "max_evaluations":
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"minimize({name}={value!r}): must be an integer in [1, inf); got {type(value).__name__}")
        if value < 1:
            raise ValueError(f"minimize({name}={value}): must be an integer in [1, inf)")
    if not (tol is None or is_number(tol) or isinstance(tol, Tensor)):
        raise TypeError(f"minimize(tol={tol!r}): must be a number in [0, inf), a 0-d tensor or None")
    if is_number(tol) and not 0 <= tol < float("inf"):
        raise ValueError(f"minimize(tol={tol!r}): must lie in [0, inf)")
    if callback is not None and not callable(callback):
        raise TypeError(f"minimize(callback={callback!r}): must be a function of a Result, or None")
    if differentiate not in ("auto", "implicit", "unrolled", None):
        raise ValueError(f"minimize(differentiate={differentiate!r}): must be 'auto', 'implicit', 'unrolled' or None")
    for path, x in zip(tree.paths(x0), tree.leaves(x0), strict=True):
        if not isinstance(x, Tensor) or not x.is_floating_point():
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            what = f"the leaf {path!r}" if path else "x0"
            raise TypeError(f"minimize(x0): {what} must be a floating point tensor, got {kind}")
