"""tz.m: the flat, explicit catalogue of modules."""

from torchzero.adaptive.adam import Adam as Adam
from torchzero.core.chain import Chain as Chain
from torchzero.step_size.lr import LR as LR
from torchzero.weight_decay.weight_decay import WeightDecay as WeightDecay
