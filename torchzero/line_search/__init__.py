"""Line searches: modules that evaluate the objective along the update to find how far to go."""

from torchzero.line_search.adaptive_backtracking import AdaptiveBacktracking as AdaptiveBacktracking
from torchzero.line_search.adaptive_bisection import AdaptiveBisection as AdaptiveBisection
from torchzero.line_search.armijo_ls import ArmijoLS as ArmijoLS
from torchzero.line_search.backtracking import Backtracking as Backtracking
from torchzero.line_search.base import LineSearch as LineSearch
from torchzero.line_search.directional_newton import DirectionalNewton as DirectionalNewton
from torchzero.line_search.directional_newton_3_points import DirectionalNewton3Points as DirectionalNewton3Points
from torchzero.line_search.grids import ArangeLS as ArangeLS
from torchzero.line_search.grids import BacktrackingLS as BacktrackingLS
from torchzero.line_search.grids import GridLineSearch as GridLineSearch
from torchzero.line_search.grids import GridLS as GridLS
from torchzero.line_search.grids import LinspaceLS as LinspaceLS
from torchzero.line_search.grids import MultiplicativeLS as MultiplicativeLS
from torchzero.line_search.hager_zhang_line_search import HagerZhangLineSearch as HagerZhangLineSearch
from torchzero.line_search.scipy_minimize_scalar import ScipyMinimizeScalar as ScipyMinimizeScalar
from torchzero.line_search.strong_wolfe import StrongWolfe as StrongWolfe

Armijo = ArmijoLS  # its usual name
LineSearchBase = LineSearch  # its name in earlier versions
ScipyMinimizeScalarLS = ScipyMinimizeScalar  # its name in earlier versions

# Aliases: {"Armijo": ArmijoLS, "LineSearchBase": LineSearch, "ScipyMinimizeScalarLS": ScipyMinimizeScalar}
