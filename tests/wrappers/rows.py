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
}
