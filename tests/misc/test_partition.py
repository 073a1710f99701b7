"""What a child of Partition, Split and Masked sees, and how leaves are chosen."""

from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.misc.base import Part, PartObjective, part_of


def _params() -> dict[str, Any]:
    g = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=g)  # noqa: E731
    return {"enc": {"weight": draw(2, 3), "bias": draw(3)}, "head": [draw(3, 1), draw(1)]}


def _loss(p: dict[str, Any]) -> Tensor:
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    h = torch.tanh(x @ p["enc"]["weight"] + p["enc"]["bias"])
    return ((h @ p["head"][0] + p["head"][1] - 1) ** 2).mean()


def _run(opt: tz.Module, params: Any, f: Any, steps: int = 4) -> Any:
    state = opt.init(params)
    for _ in range(steps):
        params, state = opt(params, state, f)
    return params


def _same(a: Any, b: Any) -> None:
    for x, y in zip(tz.tree.leaves(a), tz.tree.leaves(b), strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-14)


def _descent() -> tz.Module:
    """Looks at parameters, gradient, loss and the objective elsewhere, and normalises over all that it sees."""
    return tz.Chain(
        tz.m.Multistep([tz.m.EMA(0.5), tz.m.GraftToParams(), tz.m.LR(0.05)], 2),
        tz.m.GraftToGrad(),
        tz.m.MulByLoss(),
        tz.m.LR(0.3),
        tz.m.NegateOnLossIncrease(),
    )


def test_a_child_optimizes_its_part_as_if_the_others_were_constants() -> None:
    params, kept = _params(), _params()["head"]
    opt = tz.m.Partition({"enc": ("enc.*", _descent()), "head": ("head.*", tz.m.LR(0.0))})
    alone = _run(_descent(), params["enc"], lambda enc: _loss({"enc": enc, "head": kept}))
    both = _run(opt, params, _loss)
    _same(both["enc"], alone)
    _same(both["head"], kept)
    assert not torch.equal(both["enc"]["weight"], params["enc"]["weight"])


def test_parts_move_at_the_same_time_from_the_same_gradient() -> None:
    params = _params()
    grad = torch.func.grad(_loss)(params)
    opt = tz.m.Partition({"enc": ("enc.*", tz.m.LR(0.5))}, rest=[tz.m.LR(0.5), tz.m.LR(0.5)])
    after = _run(opt, params, _loss, steps=1)
    _same(after["enc"], tz.tree.map(lambda p, g: p - 0.5 * g, params["enc"], grad["enc"]))
    _same(after["head"], tz.tree.map(lambda p, g: p - 0.25 * g, params["head"], grad["head"]))


def test_disjoint_masks_commute() -> None:
    one = tz.m.Masked([tz.m.Adam(), tz.m.GraftToParams()], "enc.*")
    other = tz.m.Masked([tz.m.EMA(0.5), tz.m.LR(0.2)], "head.*")
    a, b = (_run(tz.Chain(*order, tz.m.LR(0.1)), _params(), _loss) for order in ((one, other), (other, one)))
    _same(a, b)


def test_one_gradient_is_evaluated_for_all_parts() -> None:
    calls = []

    class Counted(tz.Objective):
        def value(self, params: Any) -> Tensor:
            calls.append("value")
            return _loss(params)

        def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
            calls.append("grad")
            grad, value = torch.func.grad_and_value(_loss)(params)
            return value, grad

    opt = tz.m.Partition({"enc": ("enc.*", tz.m.Adam()), "w": ("*0", [tz.m.MulByLoss()])}, rest=tz.m.GradSign())
    params = _params()
    opt.step(opt.init(params), tz.Var(params, objective=Counted()))
    assert calls == ["grad"]


def test_both_kinds_of_objective_give_the_same_derivatives_of_a_part() -> None:
    class Plain(tz.Objective):
        def value(self, params: Any) -> Tensor:
            return f.value(params)

        def value_and_grad(self, params: Any) -> tuple[Tensor, Any]:
            return f.value_and_grad(params)

        def hvp(self, params: Any, v: Any) -> Any:
            return f.hvp(params, v)

        def hessian(self, params: Any) -> Tensor:
            return f.hessian(params)

        def residuals(self, params: Any) -> Tensor:
            return f.residuals(params)

        def jacobian(self, params: Any) -> tuple[Tensor, Tensor]:
            return f.jacobian(params)

    f = tz.FunctionObjective(_loss)
    params = _params()
    part = Part(params, [True, False, False, True])
    mine, plain = (part_of(tz.Var(params, objective=o), part) for o in (f, Plain()))
    assert isinstance(plain.objective, PartObjective)
    assert mine.objective is not None
    point = tz.tree.map(lambda x: x + 0.1, mine.params)
    v = tz.tree.map(torch.cos, mine.params)
    pairs = [
        (mine.objective.value(point), plain.objective.value(point)),
        (mine.objective.value_and_grad(point), plain.objective.value_and_grad(point)),
        (mine.objective.hvp(point, v), plain.objective.hvp(point, v)),
        (mine.objective.linearize(point)[0], plain.objective.linearize(point)[0]),
        (mine.objective.linearize(point)[1](v), plain.objective.linearize(point)[1](v)),
        (mine.objective.hessian(point), plain.objective.hessian(point)),
        (mine.objective.residuals(point), plain.objective.residuals(point)),
        (mine.objective.jacobian(point), plain.objective.jacobian(point)),
    ]
    for a, b in pairs:
        _same(a, b)

    def of_the_part(x: Tensor) -> Tensor:
        return _loss({"enc": {**params["enc"], "bias": x[:3]}, "head": [params["head"][0], x[3:]]})

    whole = torch.func.jacrev(torch.func.grad(of_the_part))(torch.cat([point["enc"]["bias"], point["head"][1]]))
    torch.testing.assert_close(mine.objective.hessian(point), whole)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("enc.*", [1, 1, 0, 0]),
        ("*.weight", [0, 1, 0, 0]),
        ("head.0", [0, 0, 1, 0]),
        (lambda x: x.ndim == 2, [0, 1, 1, 0]),
        (lambda path, x: x.ndim == 2 and path.startswith("enc"), [0, 1, 0, 0]),
        (torch.is_floating_point, [1, 1, 1, 1]),
        ({"enc": True, "head": (False, True)}, [1, 1, 0, 1]),
        ({"enc": {"bias": False, "weight": True}, "head": False}, [0, 1, 0, 0]),
        (False, [0, 0, 0, 0]),
    ],
)
def test_filters(wanted: Any, chosen: list[int]) -> None:
    """Leaves are in the order enc.bias, enc.weight, head.0, head.1."""
    params = _params()
    opt = tz.m.Masked(tz.m.LR(0.0), wanted)
    after = opt(params, opt.init(params), grad=tz.tree.ones_like(params))[0]
    assert [
        int(torch.equal(a, b)) for a, b in zip(tz.tree.leaves(after), tz.tree.leaves(params), strict=True)
    ] == chosen


def test_the_first_filter_that_wants_a_leaf_has_it() -> None:
    params = [torch.zeros(1), torch.zeros(2)]
    opt = tz.m.Partition(
        {"two": (lambda x: x.numel() == 2, tz.m.LR(2.0)), "all": (True, tz.m.LR(3.0))}, rest=tz.m.LR(5.0)
    )
    after = opt(params, opt.init(params), grad=tz.tree.ones_like(params))[0]
    assert [x.tolist() for x in after] == [[-3.0], [-2.0, -2.0]]


def test_state_is_kept_for_own_leaves_only() -> None:
    opt = tz.m.Partition({"enc": ("enc.*", tz.m.Adam())}, rest=tz.m.Adam())
    state = opt.init(_params())
    assert set(state) == {"enc", "rest"}
    for name, shapes in (("links[0]", [(3,), (2, 3)]), ("rest", [(3, 1), (1,)])):
        assert [tuple(m.shape) for m in tz.tree.leaves(opt.child_state(state, name).m)] == shapes


def test_nested_partitions() -> None:
    inner = tz.m.Partition({"w": ("*.weight", tz.m.LR(2.0))}, rest=tz.m.LR(3.0))
    opt = tz.m.Split("enc.*", inner, tz.m.Split(lambda x: x.ndim == 2, tz.m.LR(5.0)))
    params = tz.tree.zeros_like(_params())
    after = opt(params, opt.init(params), grad=tz.tree.ones_like(params))[0]
    assert [x.flatten()[0].item() for x in tz.tree.leaves(after)] == [-3.0, -2.0, -5.0, -1.0]


def test_settings_for_all_parameters_reach_the_children() -> None:
    lr = {"enc": {"weight": 1.0, "bias": 2.0}, "head": 3.0}
    opt = tz.m.Split("enc.*", tz.m.LR(lr), tz.m.LR(lr))
    params = tz.tree.zeros_like(_params())
    after = opt(params, opt.init(params), grad=tz.tree.ones_like(params))[0]
    assert [x.flatten()[0].item() for x in tz.tree.leaves(after)] == [-2.0, -1.0, -3.0, -3.0]


def test_a_part_that_accumulates_waits_alone() -> None:
    opt = tz.m.Partition({"enc": ("enc.*", [tz.m.GradientAccumulation(2), tz.m.LR(1.0)])}, rest=tz.m.LR(1.0))
    params = start = tz.tree.zeros_like(_params())
    state, ones = opt.init(params), tz.tree.ones_like(params)
    seen = []
    for _ in range(2):
        params, state = opt(params, state, grad=ones)
        seen.append([x.flatten()[0].item() for x in tz.tree.leaves(params)])
    assert seen == [[0, 0, -1, -1], [-1, -1, -2, -2]]
    whole = tz.m.Split(True, [tz.m.GradientAccumulation(2), tz.m.LR(1.0)])
    _, var = whole.step(whole.init(start), tz.Var(start, grad=ones))
    assert bool(var.skip_update)


def test_a_step_that_is_skipped_anyway_stays_so_and_keeps_its_direction() -> None:
    opt = tz.m.Split("enc.*", tz.m.LR(2.0), tz.m.LR(3.0))
    params = _params()
    _, var = opt.step(opt.init(params), tz.Var(params, grad=tz.tree.ones_like(params), skip_update=torch.tensor(True)))
    assert bool(var.skip_update)
    assert [x.flatten()[0].item() for x in tz.tree.leaves(var.update)] == [2.0, 2.0, 3.0, 3.0]


def test_averages_are_read_part_by_part() -> None:
    opt = tz.m.Split("enc.*", [tz.m.LR(1.0), tz.m.ParamEMA(0.5)], tz.m.LR(1.0))
    params = tz.tree.zeros_like(_params())
    params, state = opt(params, opt.init(params), grad=tz.tree.ones_like(params))
    assert [x.flatten()[0].item() for x in tz.tree.leaves(opt.eval_params(state, params))] == [-0.5, -0.5, -1, -1]


def test_a_child_without_leaves_is_not_run() -> None:
    class Fails(tz.Module):
        def apply(self, state: Any, var: tz.Var) -> tz.Var:
            raise AssertionError("run")

    opt = tz.m.Partition({"none": (False, Fails())}, rest=tz.m.LR(1.0))
    opt(torch.ones(2), opt.init(torch.ones(2)), grad=torch.ones(2))


def test_by_the_names_of_a_model() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)).double()
    opt = tz.Modular(
        model,
        tz.m.Partition({"frozen": ("0.*", tz.m.Mul(0.0)), "bias": ("*.bias", tz.m.Sign())}, rest=tz.m.Adam()),
        tz.m.LR(0.1),
    )
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    loss = (model(torch.ones(4, 2, dtype=torch.float64)) ** 2).mean()
    loss.backward()
    opt.step()
    moved = {k: (p.detach() - before[k]).abs() for k, p in model.named_parameters()}
    assert all(float(moved[k].max()) == 0 for k in ("0.weight", "0.bias"))
    for name in ("1.weight", "1.bias"):
        torch.testing.assert_close(moved[name], torch.full_like(moved[name], 0.1), atol=1e-6, rtol=0)


def test_compiles_whole() -> None:
    opt = tz.m.Partition(
        {"enc": ("enc.*", tz.m.Adam()), "w": (lambda x: x.ndim == 2, tz.m.GraftToGrad())}, rest=tz.m.LR(0.1)
    )
    params = _params()
    wanted = opt(params, opt.init(params), _loss)
    got = torch.compile(lambda p, s: opt(p, s, _loss), fullgraph=True, backend="eager")(params, opt.init(params))
    _same(got, wanted)


def test_bad_filters_are_named() -> None:
    with pytest.raises(TypeError, match=r"Split\(filter=Linear.*select them by name"):
        tz.m.Split(torch.nn.Linear(1, 1), tz.m.LR(1.0))
    with pytest.raises(TypeError, match=r"Partition\(parts\['a'\]=.*pair \(filter, modules\)"):
        tz.m.Partition({"a": tz.m.LR(1.0)})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="by rest="):
        tz.m.Partition({"rest": ("*", tz.m.LR(1.0))})
    with pytest.raises(TypeError, match=r"returned a tensor for 'enc\.bias'"):
        tz.m.Masked(tz.m.LR(1.0), lambda x: x.sum() > 0).init(_params())
    with pytest.raises(ValueError, match="does not fit the parameters at 'the top': it has enc, they have"):
        tz.m.Masked(tz.m.LR(1.0), {"enc": True}).init(_params())
