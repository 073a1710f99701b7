"""The registry's rows of the core."""

import torchzero as tz
from tests.rows import Row

ROWS = {
    "Chain": Row(
        lambda: tz.Chain(tz.m.ClipValue(1.0), tz.m.Adam(0.8, 0.9), tz.m.LR(0.1)),
        oracle="tests/core/test_chain_by_hand.py::test_links_run_in_order_each_on_what_the_one_before_handed_on",
        more=(lambda: tz.Chain(tz.m.SGD(0.9), tz.m.WeightDecay(0.1), tz.m.LR(0.1)),),
    ),
}
