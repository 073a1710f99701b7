"""What Modular warns of, and what silences it."""

import warnings

import pytest

import torchzero as tz
from tests.stateful.toys import Both, Epsilon, leaves
from torchzero.core import hyper


class Home(tz.Module):
    """A user's module with a setting called lr."""

    lr: float = hyper.number(1.0)


def test_two_learning_rates():
    with pytest.warns(UserWarning, match=r"several modules have a setting called lr: 0.LR, 1.Both.modules.1.LR"):
        tz.Modular(leaves((1,)), tz.m.LR(0.1), Both([tz.m.Adam(), tz.m.LR(0.1)]))


def test_a_learning_rate_without_lr():
    with pytest.warns(UserWarning, match=r"a group sets lr=0.1 and there is no LR module"):
        tz.Modular([{"params": leaves((1,)), "lr": 0.1}], tz.m.Adam())
    opt = tz.Modular(leaves((1,)), tz.m.Adam())
    with pytest.warns(UserWarning, match="add tz.m.LR"):
        opt.add_param_group({"params": leaves((1,)), "lr": 0.1})


def test_a_learning_rate_of_another_module():
    with pytest.warns(UserWarning, match="0.Home has a setting called lr; call it alpha"):
        tz.Modular(leaves((1,)), Home())


def test_a_key_that_reaches_several_modules():
    with pytest.warns(UserWarning, match=r"'eps' reaches several modules: 0.Adam, 1.Epsilon.*set_param_groups"):
        tz.Modular([{"params": leaves((1,)), "eps": 0.1}], tz.m.Adam(), Epsilon())


def test_not_when_all_but_one_have_their_own():
    (p,) = leaves((1,))
    eps = Epsilon().set_param_groups([{"params": [p], "eps": 1.0}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tz.Modular([{"params": [p], "eps": 0.1}], tz.m.Adam(), eps)


def test_but_when_the_own_groups_set_something_else():
    (p,) = leaves((1,))
    adam = tz.m.Adam().set_param_groups([{"params": [p], "beta1": 0.5}])
    with pytest.warns(UserWarning, match="'eps' reaches several modules"):
        tz.Modular([{"params": [p], "eps": 0.1}], adam, Epsilon())


def test_warnings_point_at_the_callers_line():
    calls = [
        lambda: tz.Modular(leaves((1,)), tz.m.LR(0.1), tz.m.LR(0.1)),
        lambda: tz.Modular([{"params": leaves((1,)), "eps": 0.1}], tz.m.Adam(), Epsilon()),
        lambda: tz.Modular([{"params": leaves((1,)), "lr": 0.1}], tz.m.Adam()),
        lambda: tz.Modular(leaves((1,)), Home()),
        lambda: tz.Modular(leaves((1,)) * 2, tz.m.LR(0.1)),
        lambda: tz.Modular([p.detach() for p in leaves((1,))], tz.m.LR(0.1)),
    ]
    for call in calls:
        with pytest.warns(UserWarning, match="Modular") as record:
            call()
        assert len(record) == 1
        assert record[0].filename == __file__
