"""What a pure step says about states, gradients, parameters and objectives that do not fit."""

import pytest
import torch

import torchzero as tz

PARAMS = {"w": torch.zeros(2), "b": torch.zeros(1)}
GRADS = {"w": torch.ones(2), "b": torch.ones(1)}


@pytest.mark.parametrize(
    "other",
    [
        tz.m.Lion().init(PARAMS),
        tz.m.Adam().init({"w": torch.zeros(3), "b": torch.zeros(1)}),
        tz.m.Adam().init({"w": torch.zeros(2), "c": torch.zeros(1)}),
        (),
    ],
    ids=["module", "shapes", "names", "none"],
)
def test_the_state_of_another_module_is_named(other):
    with pytest.raises(ValueError, match=r"^Adam\(\): state\['.*init\(params\)"):
        tz.m.Adam()(PARAMS, other, grad=GRADS)


@pytest.mark.parametrize("other", [tz.Chain(tz.m.Lion(), tz.m.LR(1.0)).init(PARAMS), tz.m.Adam().init(PARAMS), {}])
def test_the_state_of_another_chain_is_named(other):
    opt = tz.Chain(tz.m.Adam(), tz.m.LR(1.0))
    with pytest.raises(ValueError, match=r"an entry for each link, 0\.Adam, 1\.LR; got .*init\(params\)"):
        opt.step(other, tz.Var(PARAMS, grad=GRADS))


def test_an_error_of_the_objective_stays_what_it_is():
    opt = tz.m.Adam()

    def fails(params):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        opt(PARAMS, opt.init(PARAMS), fails)


def test_a_gradient_of_another_shape_is_named():
    with pytest.raises(ValueError, match=r"must have the shapes of params, \(2,\) at w; got \(1,\)"):
        tz.Var(PARAMS, grad={"w": torch.ones(1), "b": torch.ones(1)})


def test_parameters_that_are_no_tensors_are_named():
    with pytest.raises(TypeError, match=r"Adam\.init: params\['b'\] must be a tensor, got float"):
        tz.m.Adam().init({"w": torch.zeros(2), "b": 0.0})


def test_an_objective_that_returns_no_tensor_is_told():
    opt = tz.m.Adam()
    with pytest.raises(TypeError, match=r"objective: must return a tensor.*got float"):
        opt(PARAMS, opt.init(PARAMS), lambda _: 3.0)


def test_a_flag_is_true_or_false():
    with pytest.raises(TypeError, match=r"Adam\(amsgrad='no'\): must be True or False"):
        tz.m.Adam(amsgrad="no")
