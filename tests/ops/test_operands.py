"""What the operations do with their operands."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero import ops
from torchzero.core.hyper import child

F64 = torch.float64


def direction(module: tz.Module, *grads: Any) -> Tensor:
    """The direction after these gradients."""
    params = torch.zeros(len(grads[0]), dtype=F64)
    state, var = module.init(params), None
    for g in grads:
        state, var = module.step(state, tz.Var(params, grad=torch.tensor(g, dtype=F64)))
    assert var is not None
    return var.update


class Probe(tz.Module):
    """Hand on the direction plus the loss, which is evaluated when asked for."""

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(update=var.update + var.loss)


class Ends(tz.Module):
    """Wish for the end, skip the update, and stop."""

    def apply(self, state: Any, var: tz.Var) -> tz.Var:
        return var.replace(should_terminate=True, stop=True, skip_update=True, attrs={"note": 1})


def test_siblings_never_see_each_other() -> None:
    a, b = tz.m.Mul(2.0), tz.m.Add(1.0)
    for module in (tz.m.Sum(a, b), tz.m.Sum(b, a)):
        assert direction(module, [3.0]).tolist() == [6 + 4]


def test_a_sequence_is_a_chain_and_its_state_advances_once_a_step() -> None:
    module = tz.m.Sub([tz.m.AccumulateSum(), tz.m.Mul(2.0)])
    assert direction(module, [1.0], [10.0]).tolist() == [10 - 22]


def test_what_one_operand_evaluates_is_known_to_all() -> None:
    calls = 0

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return (x**2).sum()

    module = tz.m.Sum(Probe(), Probe(), [Probe(), tz.m.Mul(2.0)])
    x = torch.tensor([3.0])
    chain = tz.Chain(module, Probe())
    out = chain.step(chain.init(x), tz.Var(x, objective=f))[1].update
    assert out.item() == 4 * (6 + 9) + 9
    assert calls == 1


def test_an_operand_ends_the_run_but_does_not_stop_the_chain() -> None:
    chain = tz.Chain(tz.m.Add(Ends()), tz.m.Mul(0.5))
    var = chain.step(chain.init(torch.zeros(1)), tz.Var(torch.zeros(1), grad=torch.ones(1)))[1]
    assert var.update.tolist() == [1.0]
    assert var.should_terminate
    assert var.skip_update is False
    assert var.stop is False
    assert var.attrs == {}


def test_nesting_costs_one_run_of_each_operand() -> None:
    runs = 0

    class Counting(tz.Module):
        """Count the updates."""

        def update(self, state: Any, var: tz.Var) -> Any:
            nonlocal runs
            runs += 1
            return state

    module: tz.Module = Counting()
    for _ in range(6):
        module = tz.m.Mul([module, tz.m.Mul(2.0)])
    direction(module, [1.0])
    assert runs == 1


def test_rmsprop_is_a_quotient() -> None:
    module = tz.m.Div([tz.m.EMASquared(0.9), tz.m.Sqrt(), tz.m.Add(1e-8)])
    p = torch.zeros(2, dtype=F64, requires_grad=True)
    theirs, x = torch.optim.RMSprop([p], lr=1.0, alpha=0.9, eps=1e-8), torch.zeros(2, dtype=F64)
    state = module.init(x)
    for k in range(4):
        p.grad = torch.tensor([1.0 + k, -0.5 * k], dtype=F64)
        x, state = module(x, state, grad=p.grad.clone())
        theirs.step()
    torch.testing.assert_close(x, p.detach())


def test_adam_without_momentum_is_a_quotient_too() -> None:
    root = [tz.m.EMASquared(0.99), tz.m.Sqrt(), tz.m.Debias2(0.99), tz.m.Add(1e-8)]
    grads = [[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]]
    wanted = direction(tz.m.Adam(beta1=0.0, beta2=0.99), *grads)
    torch.testing.assert_close(direction(tz.m.DivModules(tz.m.Grad(), root), *grads), wanted)


def test_numbers_may_stand_anywhere() -> None:
    for cls in (tz.m.Sum, tz.m.Mean, tz.m.Prod, tz.m.Median, tz.m.MaximumModules, tz.m.MinimumModules):
        first, last = cls(2, 1.5, tz.m.Sign()), cls(tz.m.Sign(), 1.5, 2)
        torch.testing.assert_close(direction(first, [3.0, -1.0]), direction(last, [3.0, -1.0]))


def test_an_operand_may_be_a_tensor_that_is_differentiated() -> None:
    def f(c: Tensor) -> Tensor:
        module = tz.m.Clip(-c, tz.m.Mul(c))
        return module.step(module.init(torch.zeros(2)), tz.Var(torch.zeros(2), grad=torch.tensor([3.0, -4.0])))[
            1
        ].update.sum()

    assert torch.func.grad(f)(torch.tensor(0.5)).item() == 3 - 4


@pytest.mark.parametrize("make", [lambda: tz.m.Pow(0.5), lambda: tz.m.Sqrt(), lambda: tz.m.MagnitudePower(0.5)])
def test_the_derivative_at_zero_is_finite_where_the_true_one_is_not(make: Any) -> None:
    def f(u: Tensor) -> Tensor:
        return make().step((), tz.Var(torch.zeros(2), grad=u))[1].update.sum()

    assert torch.func.grad(f)(torch.tensor([0.0, 4.0])).tolist() == [0.0, 0.25]


@pytest.mark.parametrize(("p", "slope"), [(1, 1.0), (1.0, 1.0), (1.5, 0.0), (2, 0.0), (3.0, 0.0)])
def test_magnitude_power_has_its_true_derivative_at_zero(p: float, slope: float) -> None:
    def f(u: Tensor, value: Any) -> Tensor:
        return tz.m.MagnitudePower(value).step((), tz.Var(torch.zeros(()), grad=u))[1].update

    for value in (p, torch.tensor(float(p))):
        assert torch.func.grad(f)(torch.zeros(()), value).item() == slope


def test_an_accumulated_mean_knows_its_derivative_without_decay() -> None:
    grads = [[1.0], [2.0], [4.0]]
    decay = torch.zeros((), dtype=F64)
    slope = torch.func.grad(lambda d: direction(tz.m.AccumulateMean(d), *grads).sum())(decay)
    h = 1e-6
    rise = (direction(tz.m.AccumulateMean(h), *grads) - direction(tz.m.AccumulateMean(0), *grads)) / h
    assert slope.item() == pytest.approx(rise.item(), rel=1e-4)


def test_weights_are_differentiable_and_shown() -> None:
    module = tz.m.WeightedSum(tz.m.Sign(), tz.m.Abs(), weights=[0.5, 2])
    assert repr(module) == "WeightedSum(Sign(), Abs(), weights=[0.5, 2])"

    def f(w: Tensor) -> Tensor:
        return direction(tz.m.WeightedMean(tz.m.Sign(), tz.m.Abs(), weights=[w, 1.0]), [3.0]).sum()

    assert torch.func.grad(f)(torch.tensor(2.0, dtype=F64)).item() == 0.5


def test_a_new_operation_is_its_formula() -> None:
    class Hypot(ops.BinaryOperationBase):
        """√(u² + B²)."""

        other: Any = child(operand=True)
        floor: Any = child(None, operand=True)

        def transform(self, u: Tensor, other: Any, floor: Any) -> Tensor:
            assert floor is None
            return (u**2 + other**2).sqrt()

    class Spread(ops.ReduceOperationBase, init=False):
        """Largest minus smallest."""

        def transform(self, *inputs: Any) -> Tensor:
            return torch.stack(inputs).amax(0) - torch.stack(inputs).amin(0)

    assert direction(Hypot(4.0), [3.0]).tolist() == [5.0]
    assert direction(Hypot(tz.m.AccumulateSum()), [4.0], [0.0]).tolist() == [4.0]
    assert direction(Spread(tz.m.Mul(3.0), tz.m.Sign()), [2.0]).tolist() == [5.0]


def test_an_operation_without_a_formula_says_so() -> None:
    class Unfinished(ops.BinaryOperationBase):
        """Without a formula."""

    with pytest.raises(TypeError, match="Unfinished must implement transform"):
        direction(Unfinished(), [1.0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: tz.m.Sum(1, 2), ValueError, r"Sum\(1, 2\): at least one operand must be a module"),
        (
            lambda: tz.m.SubModules(1.0, 2.0),
            ValueError,
            r"SubModules\(1.0, 2.0\): at least one operand must be a module",
        ),
        (
            lambda: tz.m.WeightedSum(tz.m.Sign(), weights=[1, 2]),
            ValueError,
            r"WeightedSum\(weights=\[1, 2\]\): 1 operands need 1",
        ),
        (
            lambda: tz.m.WeightedMean(tz.m.Sign(), weights=["x"]),
            TypeError,
            r"WeightedMean\(weights\[0\]='x'\): must be a number",
        ),
        (lambda: tz.m.Add("x"), TypeError, r"Add\(other='x'\): must be a module or a sequence of modules, a number"),
        (lambda: tz.m.Add(tz.m.Sign), TypeError, r"did you mean Sign\(\)\?"),
        (
            lambda: tz.m.GraftInputToOutput(tz.m.Sign(), ord="l7"),
            ValueError,
            r"GraftInputToOutput\(ord='l7'\): must be a number in",
        ),
        (lambda: tz.m.GraftOutputToInput(2.0), TypeError, r"GraftOutputToInput\(direction=2.0\): must be a module"),
        (
            lambda: tz.m.CustomUnaryOperation("gamma"),
            ValueError,
            r"CustomUnaryOperation\(name='gamma'\): must be one of 'abs'",
        ),
        (lambda: tz.m.Rescale(None, None), ValueError, r"Rescale\(min=None, max=None\): give at least one"),
        (lambda: tz.m.UnaryLambda(3), TypeError, r"UnaryLambda\(fn=3\): must be a function"),
        (lambda: tz.m.UnaryParameterwiseLambda(3), TypeError, r"UnaryParameterwiseLambda\(fn=3\): must be a function"),
        (lambda: tz.m.EMASquared(1.0), ValueError, r"EMASquared\(beta=1.0\): must lie in \[0, 1\)"),
        (lambda: tz.m.AccumulateSum(-0.1), ValueError, r"AccumulateSum\(decay=-0.1\): must lie in \[0, 1\)"),
    ],
)
def test_bad_arguments_are_named(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_a_function_of_all_tensors_must_return_as_many() -> None:
    with pytest.raises(ValueError, match="must return 1 tensors, as given; got 0"):
        direction(tz.m.UnaryLambda(lambda us: []), [1.0])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CopyMagnitude", "RCopySign"),
        ("Divide", "DivModules"),
        ("GraftToUpdate", "GraftOutputToInput"),
        ("Interpolate", "LerpModules"),
        ("Lambda", "UnaryLambda"),
        ("Noop", "Identity"),
        ("Operation", "CustomUnaryOperation"),
        ("Power", "PowModules"),
        ("Product", "Prod"),
        ("RGraft", "GraftOutputToInput"),
        ("Random", "RandomSample"),
        ("Subtract", "SubModules"),
    ],
)
def test_names_of_earlier_versions(old: str, new: str) -> None:
    assert getattr(ops, old) is getattr(ops, new)
