"""Momentum: modules that mix an update with the ones before it, or check it against the gradient."""

from torchzero.momentum.averaging import Averaging as Averaging
from torchzero.momentum.cautious import Cautious as Cautious
from torchzero.momentum.ema import EMA as EMA
from torchzero.momentum.heavy_ball import HeavyBall as HeavyBall
from torchzero.momentum.median_averaging import MedianAveraging as MedianAveraging
from torchzero.momentum.nag import NAG as NAG
from torchzero.momentum.sgd import SGD as SGD
from torchzero.momentum.weighted_averaging import WeightedAveraging as WeightedAveraging

# Aliases: {"NesterovMomentum": "NAG"}
NesterovMomentum = NAG  # its name in 0.1
