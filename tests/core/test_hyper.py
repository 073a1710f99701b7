"""Fields: what they admit, and how a bad value is named."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core import hyper
from torchzero.core.hyper import Hyper


class Constant(tz.core.Schedule):
    """Always the same."""

    at: Hyper = hyper.number(0.5)

    def value(self, k: Tensor) -> Tensor:
        return torch.as_tensor(self.at)


class Everything(tz.Module):
    """A field of each kind."""

    real: Hyper = hyper.number(1.0)
    open: Hyper = hyper.within(0, 1, default=0.5, closed_low=False)
    closed: Hyper = hyper.within(-1, 1, default=0.5, closed_high=True)
    above: Hyper = hyper.positive(1.0)
    least: Hyper = hyper.nonnegative(1.0)
    whole: Hyper = hyper.integer(2, 5)
    maybe: Hyper = hyper.positive(None)
    mode: str = hyper.static("a", choices=("a", "b"))
    length: int = hyper.static(3, low=1, integer=True)
    part: float = hyper.static(0.5, low=0, high=1)
    flag: bool = hyper.static(False)
    inner: Any = hyper.child(None)
    operand: Any = hyper.child(1.0, operand=True)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"real": float("inf")}, r"Everything\(real=inf\): must lie in \(-inf, inf\)"),
    ({"real": float("nan")}, r"Everything\(real=nan\): must lie in"),
    ({"open": 0}, r"Everything\(open=0\): must lie in \(0, 1\); choose a value in that range"),
    ({"open": 1.0}, r"Everything\(open=1.0\): must lie in \(0, 1\)"),
    ({"closed": 1.01}, r"Everything\(closed=1.01\): must lie in \[-1, 1\]"),
    ({"above": 0.0}, r"Everything\(above=0.0\): must lie in \(0, inf\)"),
    ({"least": -1e-9}, r"Everything\(least=-1e-09\): must lie in \[0, inf\)"),
    ({"whole": 1}, r"Everything\(whole=1\): must be an integer in \[2, inf\)"),
    ({"whole": 2.5}, r"Everything\(whole=2.5\)"),
    ({"mode": "c"}, r"Everything\(mode='c'\): must be one of 'a', 'b'"),
    ({"length": 0}, r"Everything\(length=0\)"),
    ({"length": 1.5}, r"Everything\(length=1.5\)"),
    ({"part": 1.5}, r"Everything\(part=1.5\): must lie in \[0, 1\]"),
]

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"real": "1"}, r"Everything\(real='1'\): must be a number.*a 0-d tensor, a schedule, or a tree of these; got str"),
    ({"real": None}, r"Everything\(real=None\).*got NoneType"),
    ({"real": True}, r"Everything\(real=True\).*got bool"),
    ({"maybe": "x"}, r"Everything\(maybe='x'\).*or None; got str"),
    ({"length": "3"}, r"Everything\(length='3'\): must be an integer in \[1, inf\); got str"),
    (
        {"length": torch.tensor(3)},
        r"Everything\(length=tensor\(3\)\): is static.*cannot be a schedule or a tensor.*Switch",
    ),
    ({"mode": Constant()}, r"Everything\(mode=.*\): is static"),
    ({"flag": torch.tensor(True)}, r"Everything\(flag=tensor\(True\)\): is static"),
    ({"inner": 3}, r"Everything\(inner=3\): must be a module or a sequence of modules"),
    ({"inner": tz.m.LR}, r"Everything\(inner=.*did you mean LR\(\)\?"),
    (
        {"operand": "x"},
        r"Everything\(operand='x'\): must be a module or a sequence of modules, a number, a 0-d tensor or a schedule",
    ),
]


@pytest.mark.parametrize(("kwargs", "message"), BAD)
def test_a_number_out_of_range(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Everything(**kwargs)


@pytest.mark.parametrize(("kwargs", "message"), WRONG)
def test_a_value_of_the_wrong_kind(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Everything(**kwargs)


def test_the_message_names_module_argument_value_and_range() -> None:
    with pytest.raises(ValueError, match=r"^Adam\(beta2=1.5\): must lie in \[0, 1\)"):
        tz.m.Adam(beta2=1.5)


def test_good_values() -> None:
    Everything(real=-3, open=0.001, closed=-1, above=1e-300, least=0, whole=7, maybe=2.0, mode="b", length=1, part=1)
    assert Everything().maybe is None
    assert Everything(whole=3.0).whole == 3.0


def test_tensors_and_schedules_are_never_looked_at() -> None:
    made = Everything(open=torch.tensor(7.0), above=Constant(-1.0), least=[torch.tensor(-1.0), {"a": Constant(3.0)}])
    assert made.open == 7
    torch.vmap(lambda x: Everything(above=x).above)(torch.tensor([-1.0, 2.0]))


def test_prefix_trees_are_looked_into() -> None:
    Everything(open=[0.1, {"a": 0.2}])
    with pytest.raises(ValueError, match=r"Everything\(open=2\): must lie in"):
        Everything(open=[0.1, {"a": 2}])
    with pytest.raises(TypeError, match=r"Everything\(open='x'\)"):
        Everything(open={"a": "x"})


def test_sequences_of_modules_become_children() -> None:
    made = Everything(inner=[tz.m.LR(0.1), [tz.m.LR(0.2)]], operand=torch.tensor(2.0))
    assert isinstance(made.inner, tz.Chain)
    assert list(made.children()) == ["inner"]
    assert isinstance(Everything(inner=[tz.m.LR(0.1)]).inner, tz.m.LR)


def test_scalars() -> None:
    assert hyper.is_scalar(1) is hyper.is_scalar(2.0) is hyper.is_scalar(torch.tensor(1)) is True
    assert not hyper.is_scalar([1])
    assert not hyper.is_number(True)
    assert hyper.as_scalar(2, torch.ones(1, dtype=torch.float64)).dtype == torch.float64
