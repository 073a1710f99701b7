"""Modules that route, combine, delay, average or guard other modules."""

from torchzero.misc.masked import Masked as Masked
from torchzero.misc.partition import Partition as Partition
from torchzero.misc.split import Split as Split
