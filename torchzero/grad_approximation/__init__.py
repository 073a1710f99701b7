"""Gradient approximation: gradients from values of the objective, or from derivatives along a few directions."""

from torchzero.grad_approximation.base import GradApproximator as GradApproximator
from torchzero.grad_approximation.fdm import FDM as FDM
from torchzero.grad_approximation.forward_gradient import ForwardGradient as ForwardGradient
from torchzero.grad_approximation.randomized_fdm import RDSA as RDSA
from torchzero.grad_approximation.randomized_fdm import SPSA as SPSA
from torchzero.grad_approximation.randomized_fdm import SPSA1 as SPSA1
from torchzero.grad_approximation.randomized_fdm import GaussianSmoothing as GaussianSmoothing
from torchzero.grad_approximation.randomized_fdm import MeZO as MeZO
from torchzero.grad_approximation.randomized_fdm import RandomizedFDM as RandomizedFDM

GradientApproximatorBase = GradApproximator  # its name in earlier versions
RandomGaussianSmoothing = GaussianSmoothing  # its name in earlier versions

# Aliases: {"GradientApproximatorBase": GradApproximator, "RandomGaussianSmoothing": GaussianSmoothing}
