"""The rows of the operations."""

import torch
from torch import Tensor

import torchzero as tz
from tests.rows import Row

m = tz.m

RANDOM = "tests/ops/test_random_directions.py::"


def halves(us: list[Tensor]) -> list[Tensor]:
    """A function of a list of tensors."""
    return [u / 2 + u.tanh() for u in us]


def soft(u: Tensor) -> Tensor:
    """A function of a tensor."""
    return u / (1 + u * u)


ROWS = {
    # functions of one element
    "Abs": Row(lambda: m.Abs()),
    "Cos": Row(lambda: m.Cos()),
    "Exp": Row(lambda: tz.Chain(m.Mul(0.01), m.Clip(-5.0, 5.0), m.Exp())),
    "Negate": Row(lambda: m.Negate()),
    "Sign": Row(lambda: m.Sign()),
    "Sin": Row(lambda: m.Sin()),
    "Sqrt": Row(lambda: tz.Chain(m.Abs(), m.Sqrt())),
    "CustomUnaryOperation": Row(lambda: m.CustomUnaryOperation("tanh"), more=(lambda: m.CustomUnaryOperation("erf"),)),
    "Reciprocal": Row(lambda: tz.Chain(m.Abs(), m.Reciprocal(0.1))),
    "MagnitudePower": Row(
        lambda: m.MagnitudePower(0.7), more=(lambda: m.MagnitudePower(2), lambda: m.MagnitudePower(1.0))
    ),
    "NanToNum": Row(lambda: m.NanToNum(0.5, 2.0, -3.0), more=(lambda: m.NanToNum(),)),
    "Rescale": Row(
        lambda: m.Rescale(-1.0, 2.0),
        more=(
            lambda: m.Rescale(-1.0, 2.0, tensorwise=True, eps=0.1),
            lambda: m.Rescale(None, 1.0),
            lambda: m.Rescale(0.5, None),
        ),
    ),
    "UnaryLambda": Row(lambda: m.UnaryLambda(halves)),
    "UnaryParameterwiseLambda": Row(
        lambda: m.UnaryParameterwiseLambda(soft), more=(lambda: m.UnaryParameterwiseLambda(torch.tanh),)
    ),
    # the direction and an operand
    "Add": Row(lambda: m.Add(m.AccumulateSum(), alpha=0.5), more=(lambda: m.Add(0.3, alpha=2.0),)),
    "Sub": Row(lambda: m.Sub(m.AccumulateSum(), alpha=0.5), more=(lambda: m.Sub(0.3),)),
    "RSub": Row(lambda: m.RSub(m.EMASquared(0.9)), more=(lambda: m.RSub(1.5),)),
    "Mul": Row(lambda: m.Mul([m.EMASquared(0.9), m.Sqrt()]), more=(lambda: m.Mul(0.5),)),
    "Div": Row(lambda: m.Div([m.SqrtEMASquared(0.9), m.Add(1e-3)]), more=(lambda: m.Div(3.0),)),
    "RDiv": Row(
        lambda: tz.Chain(m.Abs(), m.Add(0.5), m.RDiv(m.AccumulateSum())),
        more=(lambda: tz.Chain(m.Abs(), m.Add(1.0), m.RDiv(2.0)),),
    ),
    "Pow": Row(
        lambda: tz.Chain(m.Abs(), m.Pow(0.5)),
        more=(lambda: tz.Chain(m.Abs(), m.Pow(2)), lambda: tz.Chain(m.Abs(), m.Pow(m.Fill(1.5)))),
    ),
    "RPow": Row(
        lambda: tz.Chain(m.Clip(-3.0, 3.0), m.RPow(2.0)), more=(lambda: tz.Chain(m.Clip(-3.0, 3.0), m.RPow(m.Exp())),)
    ),
    "Lerp": Row(lambda: m.Lerp(m.AccumulateSum(), 0.3), more=(lambda: m.Lerp(1.0, 0.4),)),
    "CopySign": Row(lambda: m.CopySign(m.AccumulateSum()), more=(lambda: m.CopySign(-1.0),)),
    "RCopySign": Row(lambda: m.RCopySign(m.AccumulateSum()), more=(lambda: m.RCopySign(2.0),)),
    "Maximum": Row(lambda: m.Maximum(m.AccumulateMean()), more=(lambda: m.Maximum(0.1),)),
    "Minimum": Row(lambda: m.Minimum(m.AccumulateMean()), more=(lambda: m.Minimum(0.1),)),
    "Clip": Row(lambda: m.Clip(-0.5, m.AccumulateSum()), more=(lambda: m.Clip(-0.4, 0.6), lambda: m.Clip(max=0.3))),
    "MirroredClip": Row(lambda: m.MirroredClip(m.SqrtEMASquared(0.9)), more=(lambda: m.MirroredClip(0.7),)),
    "Threshold": Row(
        lambda: m.Threshold(m.AccumulateMean(), m.Negate(), update_above=True),
        more=(lambda: m.Threshold(0.2, 0.1, update_above=False),),
    ),
    "AddMagnitude": Row(
        lambda: m.AddMagnitude(0.3),
        more=(lambda: m.AddMagnitude(0.3, add_to_zero=False), lambda: m.AddMagnitude(m.AccumulateSum())),
    ),
    "GramSchimdt": Row(
        lambda: m.GramSchimdt(m.AccumulateSum()), more=(lambda: m.GramSchimdt(m.Params()), lambda: m.GramSchimdt(1.0))
    ),
    "GraftInputToOutput": Row(
        lambda: m.GraftInputToOutput(m.EMASquared(0.9)),
        more=(
            lambda: m.GraftInputToOutput(m.AccumulateSum(), tensorwise=False, ord=3),
            lambda: m.GraftInputToOutput(m.Sin(), ord="std"),
        ),
    ),
    "GraftOutputToInput": Row(
        lambda: m.GraftOutputToInput(m.Sign()),
        more=(lambda: m.GraftOutputToInput(m.AccumulateSum(), tensorwise=False, ord="mad", eps=1e-3),),
    ),
    # several operands
    "SubModules": Row(
        lambda: m.SubModules(m.AccumulateSum(), m.Sin(), alpha=0.5), more=(lambda: m.SubModules(1.0, m.Abs()),)
    ),
    "DivModules": Row(
        lambda: m.DivModules(m.AccumulateMean(), [m.SqrtEMASquared(0.9), m.Add(1e-3)]),
        more=(lambda: m.DivModules(m.AccumulateMean(), 2.0, other_first=True),),
    ),
    "PowModules": Row(lambda: m.PowModules([m.Abs(), m.Add(0.1)], m.Cos()), more=(lambda: m.PowModules(m.Abs(), 0.5),)),
    "LerpModules": Row(
        lambda: m.LerpModules(m.AccumulateSum(), m.Sin(), 0.3), more=(lambda: m.LerpModules(1.0, m.Abs(), 0.6),)
    ),
    "ClipModules": Row(
        lambda: m.ClipModules(m.AccumulateSum(), min=m.Negate(), max=1.0),
        more=(lambda: m.ClipModules(m.AccumulateMean(), max=0.3),),
    ),
    "MultiplyByModuleNorm": Row(
        lambda: m.MultiplyByModuleNorm(m.Sin(), m.AccumulateSum()),
        more=(lambda: m.MultiplyByModuleNorm(m.Sin(), m.AccumulateSum(), tensorwise=False, ord=1),),
    ),
    "DivideByModuleNorm": Row(
        lambda: m.DivideByModuleNorm(m.AccumulateSum(), m.Identity()),
        more=(lambda: m.DivideByModuleNorm(m.Sin(), m.AccumulateSum(), tensorwise=False, ord="var"),),
    ),
    # any number of operands
    "Sum": Row(lambda: m.Sum(1, m.AccumulateSum(), m.Sin())),
    "Mean": Row(lambda: m.Mean(m.AccumulateSum(), 0.5, m.Sin())),
    "Prod": Row(lambda: m.Prod(2, m.AccumulateMean(), [m.Sin(), m.Abs()])),
    "Median": Row(
        lambda: m.Median(m.AccumulateSum(), m.Sin(), 0.2), more=(lambda: m.Median(m.AccumulateSum(), m.Sin()),)
    ),
    "MaximumModules": Row(lambda: m.MaximumModules(0, m.AccumulateSum(), m.Sin())),
    "MinimumModules": Row(lambda: m.MinimumModules(0, m.AccumulateSum(), m.Sin())),
    "WeightedSum": Row(lambda: m.WeightedSum(m.AccumulateSum(), 2, m.Sin(), weights=[0.5, 0.25, 2.0])),
    "WeightedMean": Row(lambda: m.WeightedMean(m.AccumulateSum(), m.Sin(), weights=[1.5, 0.5])),
    # running sums, extrema and squares
    "AccumulateSum": Row(lambda: m.AccumulateSum(0.2), more=(lambda: m.AccumulateSum(),)),
    "AccumulateMean": Row(lambda: m.AccumulateMean(0.2), more=(lambda: m.AccumulateMean(),)),
    "AccumulateProduct": Row(lambda: m.AccumulateProduct(0.2), more=(lambda: m.AccumulateProduct(),)),
    "AccumulateMaximum": Row(lambda: m.AccumulateMaximum(0.2), more=(lambda: m.AccumulateMaximum(),)),
    "AccumulateMinimum": Row(lambda: m.AccumulateMinimum(0.2), more=(lambda: m.AccumulateMinimum(),)),
    "EMASquared": Row(lambda: m.EMASquared(0.9), more=(lambda: m.EMASquared(0.9, amsgrad=True, pow=1.5),)),
    "SqrtEMASquared": Row(
        lambda: m.SqrtEMASquared(0.9, debiased=True),
        more=(lambda: m.SqrtEMASquared(0.9), lambda: m.SqrtEMASquared(0.9, amsgrad=True, debiased=True, pow=3)),
    ),
    "CenteredEMASquared": Row(
        lambda: m.CenteredEMASquared(0.9), more=(lambda: m.CenteredEMASquared(0.9, amsgrad=True),)
    ),
    "CenteredSqrtEMASquared": Row(
        lambda: m.CenteredSqrtEMASquared(0.9, debiased=True),
        more=(lambda: m.CenteredSqrtEMASquared(0.8, amsgrad=True),),
    ),
    "Debias": Row(
        lambda: m.Debias(0.9, 0.99, alpha=0.5, pow=3), more=(lambda: m.Debias(0.8), lambda: m.Debias(beta2=0.9))
    ),
    "Debias2": Row(lambda: m.Debias2(0.9), more=(lambda: m.Debias2(0.9, pow=3),)),
    # sources, and modules that leave the direction alone
    "Identity": Row(lambda: m.Identity(1, "anything", key=2)),
    "Clone": Row(lambda: m.Clone()),
    "Grad": Row(lambda: tz.Chain(m.Sign(), m.Grad())),
    "Params": Row(lambda: m.Params()),
    "Zeros": Row(lambda: m.Zeros()),
    "Ones": Row(lambda: m.Ones()),
    "Fill": Row(lambda: m.Fill(0.3)),
    "GradToNone": Row(
        lambda: m.GradToNone(), oracle="tests/ops/test_forgetting.py::test_the_gradient_is_evaluated_again"
    ),
    "UpdateToNone": Row(lambda: tz.Chain(m.Sign(), m.UpdateToNone())),
    "RandomSample": Row(
        lambda: m.RandomSample(variance=2.0, seed=1),
        oracle=RANDOM + "test_samples_have_their_variance",
        more=(
            lambda: m.RandomSample("uniform", seed=1),
            lambda: m.RandomSample("rademacher", 3.0, seed=1),
            lambda: m.RandomSample("sphere", 0.5, seed=1),
        ),
    ),
    "Randn": Row(lambda: m.Randn(seed=2), oracle=RANDOM + "test_randn_is_standard_normal"),
    "Uniform": Row(lambda: m.Uniform(-1.0, 3.0, seed=3), oracle=RANDOM + "test_uniform_is_uniform"),
}
