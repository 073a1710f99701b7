"""Accumulate: GradientAccumulation under its first name."""

from torchzero.misc.gradient_accumulation import GradientAccumulation


class Accumulate(GradientAccumulation):
    r"""`GradientAccumulation` with its first name and arguments.

    $$ d_t = \frac{1}{n} \sum_{i=t-n+1}^{t} u_i \ \text{if}\ t \equiv 0 \pmod n $$

    Args:
        n_steps: n, how many steps to gather, at least 1.
        mean: divide by n; otherwise the sum is let through.

    Raises:
        ValueError: for n below 1.

    >>> import torchzero as tz
    >>> tz.m.Accumulate(n_steps=4).n
    4

    Reference: as `GradientAccumulation`.
    """

    def __init__(self, n_steps: int, mean: bool = True) -> None:
        super().__init__(n_steps, mean, stop=True)
