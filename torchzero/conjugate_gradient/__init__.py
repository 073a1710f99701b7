"""Conjugate gradients: each direction carries on the one before, by a factor β."""

from torchzero.conjugate_gradient.base import ConguateGradientBase as ConguateGradientBase
from torchzero.conjugate_gradient.betas import DYHS as DYHS
from torchzero.conjugate_gradient.betas import ConjugateDescent as ConjugateDescent
from torchzero.conjugate_gradient.betas import DaiYuan as DaiYuan
from torchzero.conjugate_gradient.betas import FletcherReeves as FletcherReeves
from torchzero.conjugate_gradient.betas import HagerZhang as HagerZhang
from torchzero.conjugate_gradient.betas import HestenesStiefel as HestenesStiefel
from torchzero.conjugate_gradient.betas import LiuStorey as LiuStorey
from torchzero.conjugate_gradient.betas import PolakRibiere as PolakRibiere
from torchzero.conjugate_gradient.projected_gradient_method import ProjectedGradientMethod as ProjectedGradientMethod

ConjugateGradientBase = ConguateGradientBase  # the same, spelt as one would expect

# Aliases: {"ConjugateGradientBase": ConguateGradientBase}
