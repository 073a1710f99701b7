"""Step sizes: modules that decide how far to go along the update."""

from torchzero.step_size.alpha import Alpha as Alpha
from torchzero.step_size.barzilai_borwein import BarzilaiBorwein as BarzilaiBorwein
from torchzero.step_size.lr import LR as LR
from torchzero.step_size.lr_warmup import LRWarmup as LRWarmup
from torchzero.step_size.polyak_step_size import PolyakStepSize as PolyakStepSize
from torchzero.step_size.random_step_size import RandomStepSize as RandomStepSize
from torchzero.step_size.step_size import StepSize as StepSize
from torchzero.step_size.warmup import Warmup as Warmup
from torchzero.step_size.warmup_norm_clip import WarmupNormClip as WarmupNormClip

# Aliases: {}
