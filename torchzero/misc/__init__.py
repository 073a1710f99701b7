"""Modules that route, combine, delay, average or guard other modules."""

from torchzero.misc.accumulate import Accumulate as Accumulate
from torchzero.misc.add_noise import AddNoise as AddNoise
from torchzero.misc.alternate import Alternate as Alternate
from torchzero.misc.div_by_loss import DivByLoss as DivByLoss
from torchzero.misc.dropout import Dropout as Dropout
from torchzero.misc.fill_loss import FillLoss as FillLoss
from torchzero.misc.grad_sign import GradSign as GradSign
from torchzero.misc.gradient_accumulation import GradientAccumulation as GradientAccumulation
from torchzero.misc.graft import Graft as Graft
from torchzero.misc.graft_grad_to_update import GraftGradToUpdate as GraftGradToUpdate
from torchzero.misc.graft_to_grad import GraftToGrad as GraftToGrad
from torchzero.misc.graft_to_params import GraftToParams as GraftToParams
from torchzero.misc.hpu_estimate import HpuEstimate as HpuEstimate
from torchzero.misc.last_absolute_ratio import LastAbsoluteRatio as LastAbsoluteRatio
from torchzero.misc.last_difference import LastDifference as LastDifference
from torchzero.misc.last_grad_difference import LastGradDifference as LastGradDifference
from torchzero.misc.last_param_difference import LastParamDifference as LastParamDifference
from torchzero.misc.last_product import LastProduct as LastProduct
from torchzero.misc.last_ratio import LastRatio as LastRatio
from torchzero.misc.lookahead import Lookahead as Lookahead
from torchzero.misc.masked import Masked as Masked
from torchzero.misc.mul_by_loss import MulByLoss as MulByLoss
from torchzero.misc.multistep import Multistep as Multistep
from torchzero.misc.negate_on_loss_increase import NegateOnLossIncrease as NegateOnLossIncrease
from torchzero.misc.online import Online as Online
from torchzero.misc.param_ema import ParamEMA as ParamEMA
from torchzero.misc.partition import Partition as Partition
from torchzero.misc.previous import Previous as Previous
from torchzero.misc.relative import Relative as Relative
from torchzero.misc.save_best import SaveBest as SaveBest
from torchzero.misc.sequential import Sequential as Sequential
from torchzero.misc.skip_non_finite import SkipNonFinite as SkipNonFinite
from torchzero.misc.split import Split as Split
from torchzero.misc.swa import SWA as SWA
from torchzero.misc.switch import Switch as Switch
from torchzero.misc.update_sign import UpdateSign as UpdateSign

GraftModules = Graft  # its name in earlier versions
UseGradSign = GradSign  # its name in earlier versions
UseGradMagnitude = UpdateSign  # its name in earlier versions

# Aliases: {"GraftModules": Graft, "UseGradSign": GradSign, "UseGradMagnitude": UpdateSign}
