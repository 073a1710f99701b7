"""ExactNewton: Newton's method with Tikhonov's damping."""

from torchzero.core.chain import Chainable
from torchzero.core.hyper import Hyper
from torchzero.second_order.newton import Newton

SOLVERS = ("cholesky_lu", "lstsq")


class ExactNewton(Newton, init=False):
    r"""Newton under its older name, with its older arguments.

    $$ d_t = (∇^2f(θ_t) + δI)^{-1}u_t $$

    Args:
        tikhonov: δ.
        solver: "cholesky_lu", or "lstsq" for the least-squares solution.
        inner: module that makes the direction which is multiplied.

    Raises:
        ValueError: for a number outside its range or an unknown solver.

    >>> import torch, torchzero as tz
    >>> newton, x = tz.m.ExactNewton(tikhonov=2.0), torch.tensor([4.0])
    >>> newton(x, newton.init(x), lambda x: (x**2).sum())[0]
    tensor([2.])

    Reference: Nocedal & Wright 2006, Numerical optimization, chapter 3, https://doi.org/10.1007/978-0-387-40065-5
    """

    def __init__(self, tikhonov: Hyper = 0.0, solver: str = "cholesky_lu", inner: Chainable | None = None) -> None:
        if solver not in SOLVERS:
            raise ValueError(f"ExactNewton(solver={solver!r}): must be one of {', '.join(map(repr, SOLVERS))}")
        super().__init__(damping=tikhonov, use_lstsq=solver == "lstsq", inner=inner)  # pyright: ignore[reportArgumentType]
