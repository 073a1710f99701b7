"""The executor gives what the plain way gives, for chains, trees, dtypes, groups and schedules drawn at random."""

import copy
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import torch._dynamo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import torchzero as tz
from tests import registry
from torchzero.core import tree
from torchzero.core.hyper import number
from torchzero.stateful.executor import kernel
from torchzero.stateful.executor.eligible import is_elementwise, is_function
from torchzero.stateful.executor.placement import LARGE
from torchzero.stateful.executor.slab import BLOCK

FUNCTIONS: dict[str, Callable[[], tz.Module]] = {
    name: make for name, make, _ in registry.instances() if is_function(make()) and not make().needs & {"value"}
}
# What these make of a last place is no last place: a basis of nearly equal eigenvalues, a matrix of nearly low rank.
ILL_CONDITIONED = frozenset({"FullMatrixAdagrad", "GramSchimdt", "Orthogonalize", "OrthoGrad", "Shampoo", "SOAP"})
EVERYDAY: dict[str, Callable[[], list[Any]]] = {
    "AdamW": lambda: [tz.m.Adam(), tz.m.WeightDecay(0.1), tz.m.LR(0.01)],
    "AMSGrad": lambda: [tz.m.ClipValue(0.5), tz.m.Adam(amsgrad=True), tz.m.LR(0.01)],
    "all five": lambda: [tz.m.ClipValue(0.5), tz.m.Adam(), tz.m.Cautious(), tz.m.WeightDecay(0.1), tz.m.LR(0.01)],
    "NAG": lambda: [tz.m.WeightDecay(0.01), tz.m.NAG(0.9), tz.m.LR(0.01)],
    "clip": lambda: [tz.m.ClipNorm(0.5, dim="global"), tz.m.Adam(), tz.m.WeightDecay(0.1), tz.m.LR(0.01)],
    "layers": lambda: [tz.m.HeavyBall(0.9), tz.m.Adam(), tz.m.Normalize(), tz.m.Cautious(), tz.m.LR(0.01)],
    "history": lambda: [tz.m.Previous(2), tz.m.LR(0.01)],
    "median": lambda: [tz.m.MedianAveraging(3), tz.m.LR(0.01)],
    "schedule": lambda: [tz.m.Adam(beta1=tz.schedules.Linear(0.5, 0.9, 4)), tz.m.LR(tz.schedules.Cosine(0.1, 0.0, 5))],
    "middle": lambda: [
        tz.m.HeavyBall(0.9),
        tz.m.ClipNorm(0.5, dim="global"),
        tz.m.Adam(),
        tz.m.Normalize(dim="global"),
        tz.m.LR(0.01),
    ],
    "muon": lambda: [tz.m.Muon(), tz.m.WeightDecay(0.1), tz.m.LR(0.01)],
    "shampoo": lambda: [tz.m.ClipNorm(1.0), tz.m.Shampoo(precond_freq=2), tz.m.LR(0.01)],
    "partition": lambda: [
        tz.m.ClipValue(0.5),
        tz.m.Partition(
            {"m": (lambda x: x.ndim == 2, [tz.m.ClipNorm(0.5, dim="global"), tz.m.Adam()]), "v": ("1", None)}
        ),
        tz.m.WeightDecay(tz.schedules.Linear(0.1, 0.0, 5)),
        tz.m.LR(0.01),
    ],
    "nested": lambda: [tz.m.Adam(exp_avg_tfm=tz.m.ClipValue(0.3)), tz.m.LR(0.01)],
}
SHAPES = [(3, 4), (5,), (), (0, 3), (2, 3, 2, 2), (1,), (LARGE // 64, 64), (BLOCK + 17,), (2, 8, LARGE // 256, 64)]


def tensor(shape: tuple[int, ...], seed: int, dtype: torch.dtype, layout: str) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if layout == "channels last" and x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "transposed" and x.ndim == 2:
        return x.mT.contiguous().mT
    if layout == "strided" and x.ndim:
        return torch.stack([x, x], -1)[..., 0]
    return x


class Pair:
    """The same optimization twice: by the executor and without."""

    def __init__(
        self,
        make: Callable[[], list[Any]],
        params: list[Tensor],
        groups: int = 1,
        compile: bool = False,
        **settings: Any,
    ) -> None:
        self.params = [[nn.Parameter(p.clone()) for p in params] for _ in range(2)]
        self.opts = []
        for mine, enabled in zip(self.params, (True, False), strict=True):
            parts: list[Any] = [{"params": mine[i::groups]} for i in range(groups)]
            parts[-1].update(settings)
            opt = tz.Modular([p for p in parts if p["params"]], *make(), compile=compile)
            opt.executor.enabled = enabled
            self.opts.append(opt)

    def step(self, seed: int, without: int | None = None) -> None:
        for mine, opt in zip(self.params, self.opts, strict=True):
            for i, p in enumerate(mine):
                g = torch.randn(p.shape, generator=torch.Generator().manual_seed(seed * 100 + i)).to(p.dtype)
                p.grad = None if i == without else g.reshape(p.shape)
            opt.step()

    def agree(self, used: bool | None = True, places: float = 64) -> None:
        assert used is None or self.opts[0].executor.used is used
        eps = (
            places / 64 * max(torch.finfo(p.dtype).eps for p in self.params[0])
        )  # a norm of all is as good as its worst part
        for a, b in zip(*self.params, strict=True):
            same(a.detach(), b.detach(), eps)
        states = [opt.state_dict()["state"] for opt in self.opts]
        assert states[0].keys() == states[1].keys()
        for mine, other in zip(states[0].values(), states[1].values(), strict=True):
            assert mine.keys() == other.keys()
            for key, x in mine.items():
                same(x, other[key], eps)


def same(a: Tensor, b: Tensor, eps: float) -> None:
    """Equal to the last places: a vectorised kernel and one for the elements left over may round differently."""
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if not a.is_floating_point():
        assert torch.equal(a, b)
        return
    torch.testing.assert_close(a, b, rtol=64 * eps, atol=64 * eps, equal_nan=True)


@pytest.mark.parametrize("name", list(EVERYDAY))
def test_every_shape_layout_and_group(name: str) -> None:
    layouts = ["contiguous", "channels last", "transposed", "strided"]
    params = [tensor(s, i, torch.float32, layouts[i % 4]) for i, s in enumerate([*SHAPES, *SHAPES[:6]])]
    params += [tensor(s, i, torch.float64, layouts[i % 3]) for i, s in enumerate(SHAPES[:7])]
    pair = Pair(EVERYDAY[name], params, groups=2, **({} if name == "schedule" else {"lr": 0.1}))
    schedulers = [torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in pair.opts if name != "schedule"]
    for k in range(3):
        pair.step(k)
        for s in schedulers:
            s.step()
    pair.agree()


def test_a_basis_of_many_matrices() -> None:
    params = [tensor(s, i, torch.float64, "") for i, s in enumerate([(4, 4)] * 3 + [(3, 4)] * 2 + [(5, 5), (1,)])]
    pair = Pair(lambda: [tz.m.SOAP(precond_freq=2), tz.m.LR(0.01)], params)
    for k in range(6):
        pair.step(k)
    assert pair.opts[0].executor.used
    for a, b in zip(*pair.params, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_a_function_that_cannot_be_batched_is_evaluated_leaf_by_leaf() -> None:
    seen = []

    def halve(x: Tensor) -> Tensor:
        seen.append(float(x.sum()))
        return x / 2

    params = [tensor((2, 3), i, torch.float32, "") for i in range(3)]
    pair = Pair(lambda: [tz.m.NAG(0.9), tz.m.UnaryParameterwiseLambda(halve), tz.m.LR(0.1)], params)
    for k in range(3):
        pair.step(k)
    pair.agree()
    assert len(seen) == 2 * 3 * 3


@pytest.mark.parametrize("module", [tz.m.Orthogonalize(method="svd"), tz.m.ClipNorm(1.0, dim="global")])
def test_a_step_that_raises_in_the_middle_has_changed_nothing(module: tz.Module) -> None:
    class Refuse(tz.Transform):
        locality = "global"

        def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
            if not all(x.isfinite().all() for x in tree.leaves(u)):
                raise ArithmeticError
            return u

    params = [nn.Parameter(tensor(s, i, torch.float32, "")) for i, s in enumerate([(3, 3), (3, 3), (LARGE + 1,)])]
    opt = tz.Modular(params, tz.m.NAG(0.9), module, tz.m.Adam(), Refuse(), tz.m.LR(0.1))
    for p in params:
        p.grad = torch.randn_like(p)
    opt.step()
    assert opt.executor.used
    before = copy.deepcopy((opt.state_dict()["state"], [p.detach() for p in params]))
    params[1].grad = torch.full_like(params[1], torch.nan)
    with pytest.raises((ArithmeticError, RuntimeError)):
        opt.step()
    after = (opt.state_dict()["state"], [p.detach() for p in params])
    for x, y in zip(tree.leaves(before), tree.leaves(after), strict=True):
        assert torch.equal(x, y) if isinstance(x, Tensor) else x == y


def test_one_block_after_the_other_and_all_at_once_are_the_same() -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor((2 * BLOCK + 3,), 0, torch.float32, ""), tensor((7,), 1, torch.float32, "")])
    for k in range(3):
        pair.step(k)
    pair.agree()


@pytest.mark.filterwarnings("ignore:Modular")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_chains(data: st.DataObject) -> None:
    some = sorted(name for name in FUNCTIONS if name.partition(".")[0] not in ILL_CONDITIONED)
    names = data.draw(st.lists(st.sampled_from(some), min_size=1, max_size=4), label="chain")
    parted = data.draw(st.booleans(), label="for matrices only")
    shapes = data.draw(st.lists(st.sampled_from([*SHAPES[:2], *SHAPES[:6]]), min_size=1, max_size=6), label="shapes")
    dtypes = [data.draw(st.sampled_from([torch.float32, torch.float64])) for _ in shapes]
    layouts = [data.draw(st.sampled_from(["", "channels last", "transposed", "strided"])) for _ in shapes]
    params = [tensor(s, i, d, lay) for i, (s, d, lay) in enumerate(zip(shapes, dtypes, layouts, strict=True))]
    groups = data.draw(st.integers(1, 2), label="groups")
    missing = data.draw(st.none() | st.integers(0, len(params) - 1), label="without gradient in step 1")

    def make() -> list[Any]:
        chain = [FUNCTIONS[n]() for n in names]
        return [tz.m.Partition({"matrices": (lambda x: x.ndim == 2, chain)}, rest=tz.m.Adam())] if parted else chain

    pair = Pair(make, params, groups)
    for k in range(4):
        pair.step(k, without=missing if k == 1 else None)
    pair.agree(used=None, places=64 if all(map(is_elementwise, make())) else 2**12)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state dict", "state read", "reset"])
def test_interruptions(how: str) -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES[:7])])
    for k in range(2):
        pair.step(k)
    for i, opt in enumerate(pair.opts):
        if how == "reset":
            opt.reset()
        elif how == "state read":
            for entry in opt.state.values():
                entry["0.Adam/m"].mul_(0.5)  # the tensors are the optimizer's own
        elif how == "state dict":
            saved = copy.deepcopy(opt.state_dict())
            opt.load_state_dict(saved)
        else:
            both = (pair.params[i], opt)
            if how == "pickle":
                file = io.BytesIO()
                torch.save(both, file)
                file.seek(0)
                pair.params[i], pair.opts[i] = torch.load(file, weights_only=False)
            else:
                pair.params[i], pair.opts[i] = copy.deepcopy(both)
            pair.opts[i].executor.enabled = i == 0
    for k in range(2, 5):
        pair.step(k)
    pair.agree()


def test_parameters_come_go_and_move() -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES[:7])])
    pair.step(0)
    pair.step(1, without=1)  # a gradient is missing once
    pair.step(2)
    for mine, opt in zip(pair.params, pair.opts, strict=True):
        new = nn.Parameter(tensor((4, 4), 50, torch.float32, ""))
        mine.append(new)
        opt.add_param_group({"params": [new], "beta1": 0.5})
        mine[0].data = mine[0].data + 1  # other memory
        mine[6].data = mine[6].data.clone()
    pair.step(3)
    for opt in pair.opts:
        opt.param_groups[0]["lr"] = 0.3
        opt.param_groups[1]["beta2"] = 0.9
    pair.step(4)
    for opt in pair.opts:
        opt.param_groups[1]["beta1"] = 0.9
    pair.step(5)
    pair.agree()


def test_state_and_parameters_stay_where_they_are() -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES)])
    pair.step(0)
    opt = pair.opts[0]
    where = [p.data_ptr() for p in pair.params[0]]
    slots = [entry["0.Adam/v"].data_ptr() for entry in opt.state.values()]
    for k in range(1, 4):
        pair.step(k)
    assert [p.data_ptr() for p in pair.params[0]] == where
    assert [entry["0.Adam/v"].data_ptr() for entry in opt.state.values()] == slots


@pytest.mark.parametrize(
    "chain",
    [
        lambda: [tz.m.AddNoise(0.1, seed=0), tz.m.OrthoGrad()],
        lambda: [tz.m.Graft(tz.m.Adam(), tz.m.NAG()), tz.m.LR(0.1)],
        lambda: [tz.m.SkipNonFinite(tz.m.Adam()), tz.m.LR(0.1)],
    ],
)
def test_what_is_no_function_of_the_direction_takes_the_plain_way(chain: Callable[[], list[Any]]) -> None:
    pair = Pair(chain, [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES[:4])])
    pair.step(0)
    pair.step(1)
    pair.agree(used=False)


def test_a_hook_sees_the_plain_way() -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor((3,), 0, torch.float32, "")])
    seen = []
    for opt in pair.opts:
        opt.post_step_hooks.append(lambda _, var: seen.append(var.update))
    pair.step(0)
    assert len(seen) == 2
    assert not pair.opts[0].executor.used


def test_the_everyday_modules_are_elementwise() -> None:
    names = {name.partition(".")[0] for name, make in FUNCTIONS.items() if is_elementwise(make())}
    assert {"Adam", "ClipValue", "LR", "WeightDecay", "HeavyBall", "NAG", "RMSprop", "Lion", "EMA"} <= names


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # in what torch imports to compile
class TestCompiled:
    """One kernel a chain, which computes what the plain way does and is not compiled again."""

    @pytest.fixture(autouse=True)
    def _afresh(self) -> Any:
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    def pair(self, chain: str, params: list[Tensor], **settings: Any) -> Pair:
        pair = Pair(EVERYDAY[chain], params, groups=2 if settings else 1, **settings)
        compiled = Pair(EVERYDAY[chain], params, groups=2 if settings else 1, compile=True, **settings)
        pair.params[0], pair.opts[0] = compiled.params[0], compiled.opts[0]
        return pair

    def test_settings_schedules_and_sizes_move_without_another_compilation(self) -> None:
        pair = self.pair("all five", [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES)], lr=0.1)
        schedulers = [torch.optim.lr_scheduler.ExponentialLR(o, 0.9) for o in pair.opts]
        pair.step(0)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for k in range(1, 4):
                for s in schedulers:
                    s.step()
                for opt in pair.opts:
                    opt.param_groups[0]["beta1"] = 0.9 - 0.1 * k
                pair.step(k)
            for mine, opt in zip(pair.params, pair.opts, strict=True):
                mine.append(nn.Parameter(tensor((LARGE + 5,), 50, torch.float32, "")))
                opt.add_param_group({"params": mine[-1:]})
            pair.step(4)
        pair.agree()

    @pytest.mark.parametrize("chain", ["NAG", "schedule"])
    def test_other_chains(self, chain: str) -> None:
        pair = self.pair(chain, [tensor(s, i, torch.float64, "channels last") for i, s in enumerate(SHAPES[:7])])
        for k in range(3):
            pair.step(k)
        pair.agree()

    def test_modules_of_one_class_with_other_formulas_have_kernels_of_their_own(self) -> None:
        def make() -> list[Any]:
            parts = {"matrices": (lambda x: x.ndim == 2, tz.m.Adam(amsgrad=True, debias=False))}
            return [tz.m.ClipNorm(0.5, dim="global"), tz.m.Partition(parts, rest=tz.m.Adam()), tz.m.LR(0.01)]

        shapes = [(3, 4), (5,), (2, 2), (7,), (LARGE, 2), (LARGE + 1,)]
        pair = Pair(make, [tensor(s, i, torch.float32, "") for i, s in enumerate(shapes)], compile=True)
        for k in range(4):
            pair.step(k)
        pair.agree()
        kernels = pair.opts[0].executor._kernels
        assert kernels is not None
        assert len(kernels) == 2

    def test_a_module_with_children_is_evaluated_eagerly(self) -> None:
        pair = self.pair("nested", [tensor((3, 4), 0, torch.float32, "")])
        pair.step(0)
        pair.agree()

    def test_a_long_first_step_says_what_it_is_doing(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kernel.Kernel, "PATIENCE", 0.001)
        pair = self.pair("AdamW", [tensor((3, 4), 0, torch.float32, "")])
        pair.step(0)
        assert capsys.readouterr().err.count("compiling the optimizer's step") == 1
        pair.step(1)
        assert not capsys.readouterr().err


BOTH_SIZES = [(3, 4), (5,), (LARGE // 64, 64), (2, 8, LARGE // 256, 64)]


def strided(x: Tensor) -> Tensor:
    return torch.stack([x, x], -1)[..., 0]


FORMS: dict[str, Callable[[list[Tensor]], None]] = {
    "channels last": lambda p: setattr(p[3], "data", p[3].data.contiguous(memory_format=torch.channels_last)),
    "transposed": lambda p: setattr(p[2], "data", p[2].data.mT.contiguous().mT),
    "with gaps": lambda p: setattr(p[2], "data", strided(p[2].data)),
    "transposed, small": lambda p: setattr(p[0], "data", p[0].data.mT.contiguous().mT),
}


@pytest.mark.parametrize("how", FORMS)
def test_a_parameter_may_change_its_strides_between_steps(how: str) -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor(s, i, torch.float32, "") for i, s in enumerate(BOTH_SIZES)])
    for k in range(2):
        pair.step(k)
    for mine in pair.params:
        FORMS[how](mine)
    for k in range(2, 5):
        pair.step(k)
    pair.agree()


RETYPED: dict[str, Callable[[Tensor], Tensor]] = {
    "double": lambda x: x.double(),
    "bfloat16": lambda x: x.bfloat16(),
    "another shape": lambda x: x.reshape(*x.shape[:-1], -1, 1),
}


@pytest.mark.parametrize("name", ["NAG", "AdamW"])
@pytest.mark.parametrize("how", RETYPED)
def test_after_another_dtype_or_shape_it_is_the_plain_way_that_decides(how: str, name: str) -> None:
    """It may fail, and then nothing has changed."""
    pair = Pair(EVERYDAY[name], [tensor(s, i, torch.float32, "") for i, s in enumerate(BOTH_SIZES)])
    pair.step(0)
    outcomes = []
    for mine, opt in zip(pair.params, pair.opts, strict=True):
        for i, p in enumerate(mine):
            p.data = RETYPED[how](p.data)
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).to(p.dtype)
        before = [p.detach().clone() for p in mine]
        try:
            for _ in range(3):
                opt.step()
            outcomes.append("")
        except RuntimeError as error:
            assert all(map(torch.equal, mine, before))
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    for a, b in zip(*pair.params, strict=True):
        same(a.detach(), b.detach(), torch.finfo(a.dtype).eps)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("places", [(0, 1), (2, 3), (2, 0)])
def test_parameters_that_overlap_are_moved_by_both_updates(when: str, places: tuple[int, int]) -> None:
    start = [tensor(s, i, torch.float32, "") for i, s in enumerate(BOTH_SIZES)]
    pair = Pair(EVERYDAY["AdamW"], start)
    if when == "after":
        pair.step(9)
    big, small = sorted(places, key=lambda i: -start[i].numel())
    for mine in pair.params:
        mine[small].data = (
            mine[big].data.view(-1)[1 : 1 + start[small].numel()].view(start[small].shape)
            if (start[big].numel() > start[small].numel())
            else mine[big].data
        )
    for k in range(3):
        pair.step(k)
    pair.agree(used=False)
    for mine in pair.params:
        mine[small].data = mine[small].data.clone()
    for k in range(3, 5):
        pair.step(k)
    pair.agree()


def test_pieces_of_one_tensor_are_evaluated_together() -> None:
    params = [[nn.Parameter(x) for x in torch.arange(12.0).split([5, 4, 3])] for _ in range(2)]
    opts = [tz.Modular(mine, *EVERYDAY["AdamW"]()) for mine in params]
    opts[1].executor.enabled = False
    for mine, opt in zip(params, opts, strict=True):
        for p in mine:
            p.grad = p.detach() + 1
        opt.step()
    assert opts[0].executor.used
    for a, b in zip(*params, strict=True):
        same(a.detach(), b.detach(), torch.finfo(a.dtype).eps)


ALIASES: dict[str, Callable[[list[Tensor], int], Tensor]] = {
    "itself": lambda p, i: p[i].detach(),
    "its neighbour": lambda p, i: p[i ^ 1].detach(),
    "expanded": lambda p, i: torch.ones(()).expand(p[i].shape),
    "flipped": lambda p, i: p[i].detach().flip(0),
    "with a graph": lambda p, i: 2 * p[i],
}


@pytest.mark.parametrize("what", ALIASES)
def test_gradients_that_live_in_other_memory_than_their_own(what: str) -> None:
    shapes = [(3, 4), (3, 4), (2 * BLOCK + 3,), (2 * BLOCK + 3,)]
    pair = Pair(EVERYDAY["history"], [tensor(s, i, torch.float32, "") for i, s in enumerate(shapes)])
    for _ in range(3):
        for mine, opt in zip(pair.params, pair.opts, strict=True):
            for i, p in enumerate(mine):
                p.grad = ALIASES[what](mine, i)
            opt.step()
    pair.agree(used=what not in ("itself", "its neighbour"))


class Counters(NamedTuple):
    """State of `Fibonacci`."""

    a: Tensor  # ()
    b: Tensor  # ()


class Fibonacci(tz.TensorwiseTransform):
    """Scales by numbers, each of which becomes what the other was."""

    locality = "elementwise"

    def init_tensor(self, param: Tensor) -> Counters:
        return Counters(tree.counter(param), tree.counter(param) + 1)

    def update_tensor(self, state: Counters, u: Tensor, at: Any) -> Counters:
        return Counters(state.a + state.b, state.a)

    def apply_tensor(self, state: Counters, u: Tensor, at: Any) -> Tensor:
        return u * state.a


def test_a_counter_may_become_what_another_one_was() -> None:
    pair = Pair(lambda: [Fibonacci(), tz.m.LR(0.01)], [tensor(s, i, torch.float32, "") for i, s in enumerate(SHAPES)])
    for k in range(7):
        pair.step(k)
    pair.agree()
    assert pair.opts[0].state[pair.params[0][0]]["0.Fibonacci/a"] == 13


def test_a_module_that_fails_for_one_dtype_has_moved_nothing() -> None:
    params = [nn.Parameter(torch.ones(s, dtype=d)) for s, d in (((3,), torch.float32), ((2,), torch.complex64))]
    opt = tz.Modular(params, tz.m.ClipValue(0.5), tz.m.LR(0.1))
    for _ in range(2):
        for p in params:
            p.grad = torch.ones_like(p)
        with pytest.raises(RuntimeError, match="complex"):
            opt.step()
        assert all((p == 1).all() for p in params)
        assert opt.current_step == 0


def test_two_optimizers_of_the_same_parameters() -> None:
    params = [[nn.Parameter(tensor(s, i, torch.float32, "")) for i, s in enumerate(BOTH_SIZES)] for _ in range(2)]
    for mine, enabled in zip(params, (True, False), strict=True):
        opts = [tz.Modular(mine, *EVERYDAY[name]()) for name in ("AdamW", "NAG")]
        for opt in opts:
            opt.executor.enabled = enabled
        for k in range(6):
            for i, p in enumerate(mine):
                p.grad = tensor(p.shape, 10 * k + i, torch.float32, "")
            opts[k % 2].step()
            assert opts[k % 2].executor.used is enabled
    for a, b in zip(*params, strict=True):
        same(a.detach(), b.detach(), torch.finfo(a.dtype).eps)


def test_other_memory_in_every_step_needs_no_other_plan() -> None:
    pair = Pair(EVERYDAY["AdamW"], [tensor(s, i, torch.float32, "") for i, s in enumerate(BOTH_SIZES)])
    pair.step(0)
    plan = pair.opts[0].executor._plan
    for k in range(1, 3):
        for mine in pair.params:
            nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(mine), mine)
        pair.step(k)
        assert pair.opts[0].executor._plan is plan
    pair.agree()


class Turned(NamedTuple):
    """What a test keeps of a matrix."""

    now: Tensor  # (n, n)
    before: Tensor  # (n, n)


class Turn(tz.TensorwiseTransform):
    """Hand on the oldest of two matrices, which share memory with the newer ones after a while."""

    locality = "tensor"

    def init_tensor(self, param: Tensor) -> Turned:
        return Turned(torch.zeros_like(param), torch.zeros_like(param))

    def update_tensor(self, state: Turned, u: Tensor, at: Any) -> Turned:
        return Turned(state.now + u, state.now.mT)

    def apply_tensor(self, state: Turned, u: Tensor, at: Any) -> Tensor:
        return state.before


class Last(NamedTuple):
    """What a test keeps of all matrices."""

    u: Any  # like params


class Remember(tz.Transform):
    """Hand on the direction before, and keep this one."""

    locality = "global"

    def init_tree(self, params: Any) -> tuple[Last, Last]:
        zeros = tz.tree.zeros_like(params)
        return Last(zeros), Last(zeros)

    def update_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return Last(u), state[0]

    def apply_tree(self, state: Any, u: Any, var: tz.Var) -> Any:
        return state[1].u


class Flip(tz.TensorwiseTransform):
    """Keep a matrix, turned at every step where it lies, and hand it on."""

    locality = "tensor"

    def init_tensor(self, param: Tensor) -> Last:
        return Last(torch.arange(param.numel(), dtype=param.dtype).reshape(param.shape))

    def update_tensor(self, state: Last, u: Tensor, at: Any) -> Last:
        return Last(state.u.mT)

    def apply_tensor(self, state: Last, u: Tensor, at: Any) -> Tensor:
        return state.u


@pytest.mark.parametrize("make", [lambda: [Turn(), Remember()], lambda: [Flip(), Remember()], lambda: [Flip()]])
@pytest.mark.parametrize("n", [1, 3])
def test_directions_and_states_of_stacks_that_share_memory(make: Callable[[], list[Any]], n: int) -> None:
    pair = Pair(lambda: [*make(), tz.m.LR(0.1)], [tensor((4, 4), i, torch.float32, "") for i in range(n)])
    for k in range(6):
        pair.step(k)
        pair.agree()


class Heavy(tz.TensorwiseTransform):
    """A step size that no batch can take."""

    locality = "tensor"

    size: Any = number(1.0)

    def apply_tensor(self, state: Any, u: Tensor, at: Any) -> Tensor:
        return self.size * u if float(u.sum()) > 0 else u


def test_a_schedule_in_a_module_that_cannot_be_batched_advances_once_a_step() -> None:
    params = [tensor(s, i, torch.float32, "") for i, s in enumerate([(3, 4), (3, 4), (2, 2), (2, 2), (7,)])]
    pair = Pair(lambda: [Heavy(tz.schedules.Linear(1.0, 0.0, 5)), tz.m.NAG(0.9), tz.m.LR(0.1)], params)
    for k in range(4):
        pair.step(k)
        pair.agree()


def test_a_multiplier_for_each_group() -> None:
    params = [tensor(s, i, torch.float32, "") for i, s in enumerate([(3, 4), (5,), (LARGE,), (LARGE + 1,)])]
    pair = Pair(lambda: [tz.m.ClipNorm(0.5, dim="global"), tz.m.NAG(0.9), tz.m.LR(0.1)], params, 2, max_norm=0.01)
    for k in range(3):
        pair.step(k)
    pair.agree()
