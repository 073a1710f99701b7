"""Second-order methods: modules that look at the Hessian, whole, in a subspace, or through its products."""

from torchzero.second_order.base import HigherOrderMethodBase as HigherOrderMethodBase
from torchzero.second_order.exact_newton import ExactNewton as ExactNewton
from torchzero.second_order.improved_newton import ImprovedNewton as ImprovedNewton
from torchzero.second_order.inverse_free_newton import InverseFreeNewton as InverseFreeNewton
from torchzero.second_order.multipoint import SixthOrder3P as SixthOrder3P
from torchzero.second_order.multipoint import SixthOrder3PM2 as SixthOrder3PM2
from torchzero.second_order.multipoint import SixthOrder5P as SixthOrder5P
from torchzero.second_order.multipoint import TwoPointNewton as TwoPointNewton
from torchzero.second_order.newton import Newton as Newton
from torchzero.second_order.newton_cg import NewtonCG as NewtonCG
from torchzero.second_order.newton_cg_steihaug import NewtonCGSteihaug as NewtonCGSteihaug
from torchzero.second_order.newton_fdm import NewtonFDM as NewtonFDM
from torchzero.second_order.nystrom_pcg import NystromPCG as NystromPCG
from torchzero.second_order.nystrom_sketch_and_solve import NystromSketchAndSolve as NystromSketchAndSolve
from torchzero.second_order.subspace_newton import SubspaceNewton as SubspaceNewton

INM = ImprovedNewton  # its name in older versions
Steihaug = NewtonCGSteihaug
RSN = SubspaceNewton  # its name in older versions

# Aliases: INM = ImprovedNewton, RSN = SubspaceNewton, Steihaug = NewtonCGSteihaug
