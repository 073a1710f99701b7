"""Trust regions: steps that minimise a model where it can be trusted, over any module that models curvature."""

from torchzero.trust_region.base import TrustRegionBase as TrustRegionBase
from torchzero.trust_region.cubic_regularization import CubicRegularization as CubicRegularization
from torchzero.trust_region.dogleg import Dogleg as Dogleg
from torchzero.trust_region.exact_trust_region import ExactTrustRegion as ExactTrustRegion
from torchzero.trust_region.levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from torchzero.trust_region.trust_cg import TrustCG as TrustCG

# Aliases: none
