"""Schedules: values that change from step to step, for any hyperparameter of any module."""

from torchzero.core.schedule import Schedule as Schedule
from torchzero.schedules.constant import Constant as Constant
from torchzero.schedules.cosine import Cosine as Cosine
from torchzero.schedules.custom import Custom as Custom
from torchzero.schedules.exponential import Exponential as Exponential
from torchzero.schedules.linear import Linear as Linear
from torchzero.schedules.one_cycle import OneCycle as OneCycle
from torchzero.schedules.piecewise import Piecewise as Piecewise
from torchzero.schedules.polynomial import Polynomial as Polynomial
from torchzero.schedules.warmup_decay import WarmupDecay as WarmupDecay
