"""Foreign optimizers."""

import torch

import torchzero as tz
from tests.rows import Row

ROWS = {
    "Wrap": Row(
        lambda: tz.m.Wrap(torch.optim.Adam, lr=0.3, betas=(0.8, 0.95)),
        oracle="tests/wrappers/test_wrap.py::test_agrees_with_the_optimizer_alone",
        more=(
            lambda: tz.m.Wrap(torch.optim.SGD, lr=0.3, momentum=0.9, dampening=0.1),
            lambda: tz.m.Chain(tz.m.Wrap(torch.optim.NAdam), tz.m.LR(0.5)),
        ),
    ),
    "WrapClosure": Row(
        lambda: tz.m.WrapClosure(torch.optim.LBFGS, lr=0.3, history_size=4, max_iter=3),
        oracle="tests/wrappers/test_wrap_closure.py::test_agrees_with_the_optimizer_alone",
        more=(
            lambda: tz.m.WrapClosure(torch.optim.LBFGS, history_size=3, max_iter=2, line_search_fn="strong_wolfe"),
            lambda: tz.m.Chain(tz.m.WrapClosure(torch.optim.Adam, lr=0.1), tz.m.LR(0.5)),
        ),
    ),
}
