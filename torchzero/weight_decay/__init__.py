"""Weight decay: modules that pull parameters towards zero."""

from torchzero.weight_decay.cautious_weight_decay import CautiousWeightDecay as CautiousWeightDecay
from torchzero.weight_decay.direct_weight_decay import DirectWeightDecay as DirectWeightDecay
from torchzero.weight_decay.relative_weight_decay import RelativeWeightDecay as RelativeWeightDecay
from torchzero.weight_decay.weight_decay import WeightDecay as WeightDecay

# Aliases: {}
