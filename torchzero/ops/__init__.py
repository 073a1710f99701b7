"""The operations: elementwise functions, arithmetic of modules, running sums and squares, norms and plain sources.

New operations start from `UnaryOperationBase`, `BinaryOperationBase`, `MultiOperationBase` or `ReduceOperationBase`.
"""

from torchzero.ops.accumulators import AccumulateMaximum as AccumulateMaximum
from torchzero.ops.accumulators import AccumulateMean as AccumulateMean
from torchzero.ops.accumulators import AccumulateMinimum as AccumulateMinimum
from torchzero.ops.accumulators import AccumulateProduct as AccumulateProduct
from torchzero.ops.accumulators import AccumulateSum as AccumulateSum
from torchzero.ops.base import BinaryOperationBase as BinaryOperationBase
from torchzero.ops.base import MultiOperationBase as MultiOperationBase
from torchzero.ops.base import OperationBase as OperationBase
from torchzero.ops.base import ReduceOperationBase as ReduceOperationBase
from torchzero.ops.base import UnaryOperationBase as UnaryOperationBase
from torchzero.ops.binary import Add as Add
from torchzero.ops.binary import AddMagnitude as AddMagnitude
from torchzero.ops.binary import Clip as Clip
from torchzero.ops.binary import CopySign as CopySign
from torchzero.ops.binary import Div as Div
from torchzero.ops.binary import Lerp as Lerp
from torchzero.ops.binary import Maximum as Maximum
from torchzero.ops.binary import Minimum as Minimum
from torchzero.ops.binary import MirroredClip as MirroredClip
from torchzero.ops.binary import Mul as Mul
from torchzero.ops.binary import Pow as Pow
from torchzero.ops.binary import RCopySign as RCopySign
from torchzero.ops.binary import RDiv as RDiv
from torchzero.ops.binary import RPow as RPow
from torchzero.ops.binary import RSub as RSub
from torchzero.ops.binary import Sub as Sub
from torchzero.ops.binary import Threshold as Threshold
from torchzero.ops.custom_unary_operation import CustomUnaryOperation as CustomUnaryOperation
from torchzero.ops.debias import Debias as Debias
from torchzero.ops.debias2 import Debias2 as Debias2
from torchzero.ops.grad_to_none import GradToNone as GradToNone
from torchzero.ops.gram_schimdt import GramSchimdt as GramSchimdt
from torchzero.ops.magnitude_power import MagnitudePower as MagnitudePower
from torchzero.ops.multi import ClipModules as ClipModules
from torchzero.ops.multi import DivModules as DivModules
from torchzero.ops.multi import LerpModules as LerpModules
from torchzero.ops.multi import PowModules as PowModules
from torchzero.ops.multi import SubModules as SubModules
from torchzero.ops.nan_to_num import NanToNum as NanToNum
from torchzero.ops.norms import DivideByModuleNorm as DivideByModuleNorm
from torchzero.ops.norms import GraftInputToOutput as GraftInputToOutput
from torchzero.ops.norms import GraftOutputToInput as GraftOutputToInput
from torchzero.ops.norms import MultiplyByModuleNorm as MultiplyByModuleNorm
from torchzero.ops.random_directions import Randn as Randn
from torchzero.ops.random_directions import RandomSample as RandomSample
from torchzero.ops.random_directions import Uniform as Uniform
from torchzero.ops.reciprocal import Reciprocal as Reciprocal
from torchzero.ops.reduce import MaximumModules as MaximumModules
from torchzero.ops.reduce import Mean as Mean
from torchzero.ops.reduce import Median as Median
from torchzero.ops.reduce import MinimumModules as MinimumModules
from torchzero.ops.reduce import Prod as Prod
from torchzero.ops.reduce import Sum as Sum
from torchzero.ops.reduce import WeightedMean as WeightedMean
from torchzero.ops.reduce import WeightedSum as WeightedSum
from torchzero.ops.rescale import Rescale as Rescale
from torchzero.ops.source import Clone as Clone
from torchzero.ops.source import Fill as Fill
from torchzero.ops.source import Grad as Grad
from torchzero.ops.source import Identity as Identity
from torchzero.ops.source import Ones as Ones
from torchzero.ops.source import Params as Params
from torchzero.ops.source import Zeros as Zeros
from torchzero.ops.squares import CenteredEMASquared as CenteredEMASquared
from torchzero.ops.squares import CenteredSqrtEMASquared as CenteredSqrtEMASquared
from torchzero.ops.squares import EMASquared as EMASquared
from torchzero.ops.squares import SqrtEMASquared as SqrtEMASquared
from torchzero.ops.unary import Abs as Abs
from torchzero.ops.unary import Cos as Cos
from torchzero.ops.unary import Exp as Exp
from torchzero.ops.unary import Negate as Negate
from torchzero.ops.unary import Sign as Sign
from torchzero.ops.unary import Sin as Sin
from torchzero.ops.unary import Sqrt as Sqrt
from torchzero.ops.unary_lambda import UnaryLambda as UnaryLambda
from torchzero.ops.unary_parameterwise_lambda import UnaryParameterwiseLambda as UnaryParameterwiseLambda
from torchzero.ops.update_to_none import UpdateToNone as UpdateToNone

# The names that these modules had in earlier versions.
CopyMagnitude = RCopySign
Divide = DivModules
GraftToUpdate = GraftOutputToInput
Interpolate = LerpModules
Lambda = UnaryLambda
Noop = Identity
Operation = CustomUnaryOperation
Power = PowModules
Product = Prod
RGraft = GraftOutputToInput
Random = RandomSample
Subtract = SubModules
