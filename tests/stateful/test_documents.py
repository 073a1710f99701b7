"""The snippets of the FAQ and the introduction, as printed."""

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

import torchzero as tz


class TheModelClass(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(10, 10), torch.nn.Linear(10, 1)

    def forward(self, x):
        return self.decoder(self.encoder(x).relu())


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TheModelClass()


@pytest.fixture
def loss_fn():
    return torch.nn.BCEWithLogitsLoss()


@pytest.fixture
def dataloader():
    torch.manual_seed(1)
    inputs = torch.randn((32, 10))
    return [(inputs, (inputs[:, :1] > 0).float())] * 100


def test_introduction():
    torch.manual_seed(0)
    # define dataset and model
    inputs = torch.randn((32, 10))
    targets = torch.randint(low=0, high=2, size=(32, 1)).float()

    model = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.ReLU(), torch.nn.Linear(10, 1))
    criterion = torch.nn.BCEWithLogitsLoss()

    # define Cautious Adam with gradient clipping and decoupled weight decay
    opt = tz.Modular(
        model.parameters(),
        tz.m.ClipValue(1),
        tz.m.Adam(),
        tz.m.LR(1e-1),
        tz.m.Cautious(),
        tz.m.WeightDecay(1e-4),
    )

    # standard training loop
    for _ in range(100):
        preds = model(inputs)
        loss = criterion(preds, targets)
        opt.zero_grad()
        loss.backward()
        opt.step()
    assert loss.item() < 0.1


def train(opt, model, loss_fn, dataloader):
    for inputs, targets in dataloader:
        preds = model(inputs)
        loss = loss_fn(preds, targets)
        loss.backward()
        opt.step()
        opt.zero_grad()
    return loss.item()


def test_faq_construction(model, loss_fn, dataloader):
    opt = tz.Modular(
        model.parameters(),
        tz.m.Adam(),
        tz.m.Cautious(),
        tz.m.LR(1e-3),
        tz.m.WeightDecay(),
    )
    assert train(opt, model, loss_fn, dataloader) < 1.0


def test_faq_training_loop(model, loss_fn, dataloader):
    opt = tz.Modular(model.parameters(), [tz.m.Adam(), tz.m.LR(1e-2), tz.m.WeightDecay(1e-4)])
    assert train(opt, model, loss_fn, dataloader) < 0.3


def test_faq_closure(model, loss_fn, dataloader):
    opt = tz.Modular(model.parameters(), [tz.m.Adam(), tz.m.LR(1e-2), tz.m.WeightDecay(1e-4)])
    for inputs, targets in dataloader:

        def closure(backward=True, inputs=inputs, targets=targets):
            preds = model(inputs)
            loss = loss_fn(preds, targets)
            if backward:
                opt.zero_grad()
                loss.backward()
            return loss

        loss = opt.step(closure)
    assert loss.item() < 0.3


def test_faq_scheduler_in_the_module(model, loss_fn, dataloader):
    opt = tz.Modular(
        model.parameters(),
        tz.m.Adam(),
        tz.m.LR(1e-1, scheduler_cls=lambda opt: OneCycleLR(opt, max_lr=1e-1, total_steps=60_000)),
        tz.m.WeightDecay(),
    )
    train(opt, model, loss_fn, dataloader)


def test_faq_scheduler_on_the_module(model, loss_fn, dataloader):
    opt = tz.Modular(model.parameters(), [tz.m.Adam(), tz.m.LR(1e-3), tz.m.WeightDecay()])
    scheduler = OneCycleLR(opt.get_lr_module(), max_lr=1e-1, total_steps=60_000)
    for batch in dataloader:
        train(opt, model, loss_fn, [batch])
        scheduler.step()


def test_faq_groups(model, loss_fn, dataloader):
    param_groups = [
        {"params": model.encoder.parameters(), "lr": 1e-2, "eps": 1e-5},
        {"params": model.decoder.parameters()},
    ]
    optimizer = tz.Modular(param_groups, [tz.m.Adam(), tz.m.LR(1e-3), tz.m.WeightDecay(1e-4)])
    assert train(optimizer, model, loss_fn, dataloader) < 0.7


def test_faq_set_params(model, loss_fn, dataloader):
    adam_param_groups = [
        {"params": model.encoder.parameters(), "lr": 1e-2, "eps": 1e-5},
        {"params": model.decoder.parameters()},
    ]

    # 1. Create the Adam module
    adam = tz.m.Adam()

    # 2. Apply custom parameter groups to the Adam module using set_params
    adam.set_params(adam_param_groups)

    # 3. Create the modular optimizer, passing the configured Adam module
    optimizer = tz.Modular(model.parameters(), [adam, tz.m.LR(1e-3), tz.m.WeightDecay()])
    train(optimizer, model, loss_fn, dataloader)


def test_faq_wrapping(model, loss_fn, dataloader):
    LaProp = pytest.importorskip("pytorch_optimizer").LaProp
    opt = tz.Modular(
        model.parameters(),
        tz.m.ClipNorm(1),
        tz.m.Wrap(LaProp, lr=1, betas=(0.9, 0.99)),
        tz.m.LR(1e-2),
        tz.m.Cautious(),
    )
    assert train(opt, model, loss_fn, dataloader) < 0.3
