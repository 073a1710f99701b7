"""Projections: modules run in other coordinates, dtypes or structures of the parameters."""

from torchzero.projections.projection_base import ProjectionBase as ProjectionBase
from torchzero.projections.scalar_projection import ScalarProjection as ScalarProjection
from torchzero.projections.to import To as To
from torchzero.projections.vector_projection import VectorProjection as VectorProjection
from torchzero.projections.view_as_real import ViewAsReal as ViewAsReal
