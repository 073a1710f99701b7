"""Zeroth order: methods that look at values alone."""

from torchzero.zeroth_order.base import Strategy as Strategy
from torchzero.zeroth_order.cd import CD as CD
from torchzero.zeroth_order.cem import CEM as CEM
from torchzero.zeroth_order.cma_es import CMAES as CMAES
from torchzero.zeroth_order.nelder_mead import NelderMead as NelderMead
from torchzero.zeroth_order.pgpe import PGPE as PGPE
from torchzero.zeroth_order.snes import SNES as SNES
from torchzero.zeroth_order.xnes import XNES as XNES

# Aliases: {}
