"""Functions of matrices: batched, vmappable, and with derivatives that stay finite where matrices degenerate.

Systems known by products are solved by `cg` and `minres`, also preconditioned by `nystrom_preconditioner`. Models of a
Hessian are in `torchzero.linalg.operators`.
"""

from torchzero.linalg.cg import cg as cg
from torchzero.linalg.matrix_power import matrix_power as matrix_power
from torchzero.linalg.minres import minres as minres
from torchzero.linalg.msign import msign as msign
from torchzero.linalg.nystrom import nystrom as nystrom
from torchzero.linalg.nystrom import nystrom_preconditioner as nystrom_preconditioner
from torchzero.linalg.orthogonalize_matrices import orthogonalize as orthogonalize
from torchzero.linalg.orthogonalize_via_qr import orthogonalize_via_qr as orthogonalize_via_qr
from torchzero.linalg.safe_eigh import safe_eigh as safe_eigh
from torchzero.linalg.safe_qr import safe_qr as safe_qr
from torchzero.linalg.spectrum import spectrum as spectrum
from torchzero.linalg.symmetric_function import symmetric_function as symmetric_function
from torchzero.linalg.zeropower_via_eigh import zeropower_via_eigh as zeropower_via_eigh
from torchzero.linalg.zeropower_via_newtonschulz5 import zeropower_via_newtonschulz5 as zeropower_via_newtonschulz5
from torchzero.linalg.zeropower_via_svd import zeropower_via_svd as zeropower_via_svd
