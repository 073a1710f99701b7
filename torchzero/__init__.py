"""torchzero: optimizers as pure values, for PyTorch."""

from typing import TYPE_CHECKING, Any

from torchzero import core as core
from torchzero import m as m
from torchzero import schedules as schedules
from torchzero.core import Chain as Chain
from torchzero.core import Chainable as Chainable
from torchzero.core import FunctionObjective as FunctionObjective
from torchzero.core import Module as Module
from torchzero.core import Objective as Objective
from torchzero.core import TensorwiseTransform as TensorwiseTransform
from torchzero.core import Transform as Transform
from torchzero.core import Var as Var
from torchzero.core import apply_update as apply_update
from torchzero.core import cond as cond
from torchzero.core import maybe_chain as maybe_chain
from torchzero.core import random as random
from torchzero.core import tree as tree
from torchzero.core import while_loop as while_loop
from torchzero.minimization import Result as Result
from torchzero.minimization import minimize as minimize
from torchzero.stateful import Modular as Modular
from torchzero.unrolling import Hypergradient as Hypergradient
from torchzero.unrolling import Unrolled as Unrolled
from torchzero.unrolling import hypergrad as hypergrad
from torchzero.unrolling import unroll as unroll

if TYPE_CHECKING:
    from torchzero import testing as testing

__version__ = "1.0.0"


def __getattr__(name: str) -> Any:
    """Import `tz.testing` when it is first used: it needs hypothesis, and nothing else does."""
    if name == "testing":
        import importlib

        return importlib.import_module("torchzero.testing")
    raise AttributeError(f"module 'torchzero' has no attribute {name!r}")
