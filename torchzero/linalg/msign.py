"""The polar factor by the Polar Express: the best polynomial at every step."""

from torch import Tensor

from torchzero.core.safe import safe_norm
from torchzero.linalg.zeropower_via_newtonschulz5 import Quintic, iterate

# Minimax-optimal polynomials for singular values in [1e-3, 1]; from the eighth step on they are Newton–Schulz.
_OPTIMAL: tuple[Quintic, ...] = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
    (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
)
_LIMIT: Quintic = (1.875, -1.25, 0.375)
_SAFETY = 1.01  # keeps rounding from pushing a singular value out of the interval


def msign(G: Tensor, steps: int = 10, eps: float = 1e-7) -> Tensor:
    r"""The polar factor of matrices by the Polar Express iteration.

    $$ X_0 = \frac{G}{1.01\,\|G\|_F + ε},\quad X_{k+1} = a_k X_k + b_k (X_kX_k^T)X_k + c_k (X_kX_k^T)^2X_k $$

    with the polynomials that are optimal for what the steps before have left. Computed and returned in the dtype of
    `G`.

    Args:
        G: (..., m, n).
        steps: number of polynomials, at least 0.
        eps: added to the norm, so that a zero matrix stays zero.

    Returns:
        (..., m, n), with singular values near one wherever those of G exceed about 1e-3 of its norm.

    >>> import torch
    >>> msign(torch.diag(torch.tensor([2.0, 0.5]))).diagonal()
    tensor([1., 1.])

    Reference: Amsel, Persson, Musco & Gower 2025, algorithm 1 and appendix G, https://arxiv.org/abs/2505.16932
    """
    damped = [(a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5) for a, b, c in _OPTIMAL]
    coeffs = [*damped, *[_LIMIT] * (steps - len(damped))][:steps]
    return iterate(G / (_SAFETY * safe_norm(G, 2, (-2, -1), keepdim=True) + eps), coeffs)
