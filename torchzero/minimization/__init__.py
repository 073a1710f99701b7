"""minimize: from a function and a starting point to a result."""

from torchzero.minimization.methods import METHODS as METHODS
from torchzero.minimization.minimize import minimize as minimize
from torchzero.minimization.result import Result as Result
