"""Objective maps: modules that show the ones after them another objective."""

from torchzero.objective_maps.asam import ASAM as ASAM
from torchzero.objective_maps.gradient_sampling import GaussianHomotopy as GaussianHomotopy
from torchzero.objective_maps.gradient_sampling import GradientSampling as GradientSampling
from torchzero.objective_maps.homotopies import ExpHomotopy as ExpHomotopy
from torchzero.objective_maps.homotopies import FixedLossHomotopy as FixedLossHomotopy
from torchzero.objective_maps.homotopies import LambdaHomotopy as LambdaHomotopy
from torchzero.objective_maps.homotopies import LogHomotopy as LogHomotopy
from torchzero.objective_maps.homotopies import SqrtHomotopy as SqrtHomotopy
from torchzero.objective_maps.homotopies import SquareHomotopy as SquareHomotopy
from torchzero.objective_maps.msam import MSAM as MSAM
from torchzero.objective_maps.msam_momentum import MSAMMomentum as MSAMMomentum
from torchzero.objective_maps.perturb_weights import PerturbWeights as PerturbWeights
from torchzero.objective_maps.sam import SAM as SAM
from torchzero.objective_maps.svrg import SVRG as SVRG
from torchzero.objective_maps.weight_dropout import WeightDropout as WeightDropout

# Aliases: {"GaussianHomotopy": "GradientSampling"}
