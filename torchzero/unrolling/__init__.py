"""Unrolled optimization as one differentiable value, and hypergradients, in bounded memory."""

from torchzero.unrolling.hypergrad import Hypergradient as Hypergradient
from torchzero.unrolling.hypergrad import hypergrad as hypergrad
from torchzero.unrolling.recomputed import recomputed as recomputed
from torchzero.unrolling.unroll import Unrolled as Unrolled
from torchzero.unrolling.unroll import unroll as unroll
