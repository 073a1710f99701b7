"""Clipping: modules that bound, normalise or centre the update."""

from torchzero.clipping.adaptive_clip_norm import AdaptiveClipNorm as AdaptiveClipNorm
from torchzero.clipping.centralize import Centralize as Centralize
from torchzero.clipping.clip_norm import ClipNorm as ClipNorm
from torchzero.clipping.clip_norm_by_ema import ClipNormByEMA as ClipNormByEMA
from torchzero.clipping.clip_norm_growth import ClipNormGrowth as ClipNormGrowth
from torchzero.clipping.clip_value import ClipValue as ClipValue
from torchzero.clipping.clip_value_by_ema import ClipValueByEMA as ClipValueByEMA
from torchzero.clipping.clip_value_growth import ClipValueGrowth as ClipValueGrowth
from torchzero.clipping.normalize import Normalize as Normalize
from torchzero.clipping.normalize_by_ema import NormalizeByEMA as NormalizeByEMA
from torchzero.clipping.within_bounds import WithinBounds as WithinBounds

# Aliases: {}
