"""Rows of the weight decay family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "WeightDecay": Row(lambda: tz.m.WeightDecay(0.1), more=(lambda: tz.m.WeightDecay(0.1, ord=3),)),
    "CautiousWeightDecay": Row(
        lambda: tz.m.CautiousWeightDecay(0.1), more=(lambda: tz.m.CautiousWeightDecay(0.1, ord=1),)
    ),
    "DirectWeightDecay": Row(
        lambda: tz.m.DirectWeightDecay(0.1),
        oracle="tests/weight_decay/test_direct_weight_decay.py::test_agrees_with_the_formula",
        more=(lambda: tz.Chain(tz.m.DirectWeightDecay(0.1, ord=1), tz.m.WeightDecay(0.1)),),
    ),
    "RelativeWeightDecay": Row(
        lambda: tz.m.RelativeWeightDecay(),
        more=(
            lambda: tz.m.RelativeWeightDecay(0.2, ord=1, norm_input="params", metric="l2", cautious=True),
            lambda: tz.m.RelativeWeightDecay(0.2, norm_input="grad", metric=1),
        ),
    ),
}
