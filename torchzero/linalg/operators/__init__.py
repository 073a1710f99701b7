"""Models of a Hessian as pytrees: products, solves and shifted solves, each with its dense matrix beside it."""

from torchzero.linalg.operators.base import Operator as Operator
from torchzero.linalg.operators.block_diagonal import BlockDiagonal as BlockDiagonal
from torchzero.linalg.operators.compact_lbfgs import CompactLBFGS as CompactLBFGS
from torchzero.linalg.operators.compact_lsr1 import CompactLSR1 as CompactLSR1
from torchzero.linalg.operators.dense import Dense as Dense
from torchzero.linalg.operators.dense_inverse import DenseInverse as DenseInverse
from torchzero.linalg.operators.dense_with_inverse import DenseWithInverse as DenseWithInverse
from torchzero.linalg.operators.diagonal import Diagonal as Diagonal
from torchzero.linalg.operators.jt_j import JtJ as JtJ
from torchzero.linalg.operators.low_rank_shift import LowRankShift as LowRankShift
from torchzero.linalg.operators.scaled_identity import ScaledIdentity as ScaledIdentity
