"""Adaptive: step sizes that the gradients themselves set, for elements, tensors, dimensions or matrices."""

from torchzero.adaptive.adagrad import Adagrad as Adagrad
from torchzero.adaptive.adagrad_norm import AdagradNorm as AdagradNorm
from torchzero.adaptive.adam import Adam as Adam
from torchzero.adaptive.adan import Adan as Adan
from torchzero.adaptive.dual_norm_correction import DualNormCorrection as DualNormCorrection
from torchzero.adaptive.full_matrix_adagrad import FullMatrixAdagrad as FullMatrixAdagrad
from torchzero.adaptive.lion import Lion as Lion
from torchzero.adaptive.mars_correction import MARSCorrection as MARSCorrection
from torchzero.adaptive.muon import Muon as Muon
from torchzero.adaptive.muon_adjust_lr import MuonAdjustLR as MuonAdjustLR
from torchzero.adaptive.ortho_grad import OrthoGrad as OrthoGrad
from torchzero.adaptive.orthogonalize import Orthogonalize as Orthogonalize
from torchzero.adaptive.orthogonalize import ZeropowerViaNewtonSchulz as ZeropowerViaNewtonSchulz
from torchzero.adaptive.rmsprop import RMSProp as RMSProp
from torchzero.adaptive.rmsprop import RMSprop as RMSprop
from torchzero.adaptive.rprop import Rprop as Rprop
from torchzero.adaptive.schedule_free import ScheduleFree as ScheduleFree
from torchzero.adaptive.schedule_free_adam_w import ScheduleFreeAdamW as ScheduleFreeAdamW
from torchzero.adaptive.schedule_free_sgd import ScheduleFreeSGD as ScheduleFreeSGD
from torchzero.adaptive.shampoo import Shampoo as Shampoo
from torchzero.adaptive.soap import SOAP as SOAP

# Older names: {"RMSProp": "RMSprop", "ZeropowerViaNewtonSchulz": "Orthogonalize"}
