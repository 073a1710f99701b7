"""The pure core: modules, what they look at, and the algebra they are written in."""

from torchzero.core.chain import Chain as Chain
from torchzero.core.chain import Chainable as Chainable
from torchzero.core.chain import maybe_chain as maybe_chain
from torchzero.core.control import cond as cond
from torchzero.core.control import while_loop as while_loop
from torchzero.core.module import Module as Module
from torchzero.core.objective import FunctionObjective as FunctionObjective
from torchzero.core.objective import Objective as Objective
from torchzero.core.schedule import Schedule as Schedule
from torchzero.core.transform import At as At
from torchzero.core.transform import TensorwiseTransform as TensorwiseTransform
from torchzero.core.transform import Transform as Transform
from torchzero.core.var import Var as Var
from torchzero.core.var import apply_update as apply_update
from torchzero.core.vector import VectorTransform as VectorTransform
