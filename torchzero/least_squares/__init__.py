"""Least squares: objectives that return residuals, and methods that use their Jacobian."""

from torchzero.least_squares.gauss_newton import GaussNewton as GaussNewton
from torchzero.least_squares.sum_of_squares import SumOfSquares as SumOfSquares

# Aliases: none
