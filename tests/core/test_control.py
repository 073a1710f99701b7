"""while_loop and cond mean the same eagerly, vmapped, differentiated and compiled."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import torchzero as tz
from torchzero.core.control import concrete, is_batched


class Counted:
    """A function, and how often it was called."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn, self.calls = fn, 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return self.fn(x)


def halvings(x: Tensor, max_steps: int | None = 100) -> Tensor:
    """Halve until at most one."""
    return tz.while_loop(lambda x: x > 1, lambda x: x / 2, x, max_steps)


def compiled(fn: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.reset()
    return torch.compile(fn, fullgraph=True, backend="eager")


def test_a_loop_runs_as_often_as_it_must() -> None:
    body = Counted(lambda x: x / 2)
    assert tz.while_loop(lambda x: x > 1, body, torch.tensor(40.0)) == 0.625
    assert body.calls == 6
    assert tz.while_loop(lambda x: x > 1, body, torch.tensor(0.5)) == 0.5
    assert body.calls == 6


def test_max_steps_ends_it() -> None:
    body = Counted(lambda x: x / 2)
    assert tz.while_loop(lambda x: x > 1, body, torch.tensor(40.0), 2) == 10
    assert tz.while_loop(lambda x: x > 1, body, torch.tensor(40.0), 0) == 40
    assert body.calls == 2


def test_vmapped_every_lane_stops_by_itself_and_the_loop_with_the_last() -> None:
    body = Counted(lambda x: x / 2)
    x = torch.tensor([1.0, 6.0, 40.0, 0.1])
    out = torch.vmap(lambda x: tz.while_loop(lambda x: x > 1, body, x, 1000))(x)
    assert torch.equal(out, torch.stack([halvings(v) for v in x]))
    assert body.calls == 6


def test_a_frozen_lane_is_not_poisoned_by_what_its_body_would_do() -> None:
    def run(x: Tensor) -> Tensor:
        return tz.while_loop(lambda x: x > 0, lambda x: x - 1 + 0 / x, x, 10)  # 0/0 once it is zero

    assert torch.equal(torch.vmap(run)(torch.tensor([1.0, 3.0])), torch.zeros(2))


def test_vmapped_over_something_that_the_condition_does_not_see() -> None:
    def run(y: Tensor) -> tuple[Tensor, Tensor]:
        return tz.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 2), (torch.zeros(()), y))

    _, out = torch.vmap(run, out_dims=(None, 0))(torch.arange(3.0))
    assert torch.equal(out, torch.arange(3.0) * 8)


def test_nested_vmap() -> None:
    body = Counted(lambda x: x / 2)
    x = torch.tensor([[1.0, 6.0], [40.0, 3.0]])
    out = torch.vmap(torch.vmap(lambda x: tz.while_loop(lambda x: x > 1, body, x)))(x)
    assert torch.equal(out, torch.stack([torch.stack([halvings(v) for v in row]) for row in x]))
    assert body.calls == 6


def test_nested_loops_vmapped() -> None:
    def run(x: Tensor) -> Tensor:
        return tz.while_loop(lambda x: x > 1, lambda x: halvings(x * 1.5), x, 7)

    x = torch.tensor([0.5, 3.0, 40.0])
    assert torch.equal(torch.vmap(run)(x), torch.stack([run(v) for v in x]))


def test_grad_unrolls_the_steps_that_were_taken() -> None:
    assert torch.func.grad(halvings)(torch.tensor(40.0)) == 2.0**-6
    x = torch.tensor(40.0, requires_grad=True)
    halvings(x).backward()
    assert x.grad == 2.0**-6


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own forward mode
def test_forward_mode() -> None:
    assert torch.func.jvp(halvings, (torch.tensor(6.0),), (torch.tensor(1.0),))[1] == 0.125


def test_vmap_of_grad_and_grad_of_vmap() -> None:
    x = torch.tensor([1.0, 6.0, 40.0])
    expected = torch.stack([torch.func.grad(halvings)(v) for v in x])
    assert torch.equal(torch.vmap(torch.func.grad(halvings))(x), expected)
    assert torch.equal(torch.func.grad(lambda x: torch.vmap(halvings)(x).sum())(x), expected)


def test_a_carry_may_be_any_tree() -> None:
    def body(carry: dict[str, Any]) -> dict[str, Any]:
        return {"x": [carry["x"][0] * 2], "k": carry["k"] + 1, "none": ()}

    start = {"x": [torch.ones(2)], "k": torch.zeros((), dtype=torch.int64), "none": ()}
    out = tz.while_loop(lambda c: c["k"] < 3, body, start)
    assert torch.equal(out["x"][0], torch.full((2,), 8.0))
    assert out["none"] == ()


# ---------------------------------------------------------------------- compiled


def backtracking(params: list[Tensor], f: Callable[[list[Tensor]], Tensor], steps: int = 20) -> tuple[Any, Tensor]:
    """Armijo's rule from a step of 2: closes over the loss, the slope, the parameters and the gradient."""
    f0, g = tz.FunctionObjective(f).value_and_grad(params)
    slope = tz.tree.dot(g, g)

    def moved(a: Tensor) -> list[Tensor]:
        return tz.tree.map(lambda p, d: p - a * d, params, g)

    def keep_going(carry: tuple[Tensor, Tensor]) -> Tensor:
        return carry[1] > f0 - 1e-4 * carry[0] * slope

    def body(carry: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return carry[0] / 2, f(moved(carry[0] / 2))

    start = torch.full_like(f0, 2.0)
    a, _ = tz.while_loop(keep_going, body, (start, f(moved(start))), steps)
    return moved(a), a


def quartic(p: list[Tensor]) -> Tensor:
    return (p[0] ** 4).sum() + ((p[1] - 1) ** 2).sum()


def line(p: list[Tensor]) -> Tensor:
    return p[0].sum() - p[1].sum()  # both gradients are views of a single one


def start() -> list[Tensor]:
    return [torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[3.0]])]


@pytest.mark.parametrize("f", [quartic, line])
def test_a_compiled_line_search(f: Callable[[list[Tensor]], Tensor]) -> None:
    expected = backtracking(start(), f)
    out = compiled(lambda p: backtracking(p, f))(start())
    torch.testing.assert_close(out, expected)


def test_a_compiled_line_search_over_ravelled_parameters() -> None:
    def search(params: list[Tensor]) -> Any:
        vector, unravel = tz.tree.ravel(params)
        pieces = unravel(vector)  # closed over below: they must not share storage
        f0 = quartic(pieces)

        def body(c: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return c[0] / 2, quartic([c[0] * x for x in pieces]) + 0 * vector.sum()

        return tz.while_loop(lambda c: c[1] > 0.5 * f0, body, (torch.ones(()), f0), 20)

    torch.testing.assert_close(compiled(search)(start()), search(start()))


def test_views_that_a_compiled_loop_closes_over_are_made_its_own() -> None:
    def power(x: Tensor) -> Tensor:
        a, b = tz.tree.own((x, x.T))
        return tz.while_loop(lambda c: c.sum() < 100, lambda c: a @ b @ c, torch.ones(2), 50)

    x = torch.tensor([[1.0, 0.5], [0.25, 1.0]])
    torch.testing.assert_close(compiled(power)(x), power(x))


def test_a_compiled_loop_with_curvature_inside() -> None:
    def conjugate_gradient(params: list[Tensor]) -> Any:
        f = tz.FunctionObjective(lambda p: quartic(p) + sum((x**2).sum() for x in p))
        b = f.value_and_grad(params)[1]

        def body(c: tuple[Any, Any, Any, Tensor]) -> tuple[Any, Any, Any, Tensor]:
            x, r, d, rs = c
            hd = f.hvp(params, d)
            a = rs / tz.tree.dot(d, hd)
            r = tz.tree.sub(r, tz.tree.scale(a, hd))
            new = tz.tree.dot(r, r)
            return tz.tree.add(x, tz.tree.scale(a, d)), r, tz.tree.add(r, tz.tree.scale(new / rs, d)), new

        return tz.while_loop(lambda c: c[3] > 1e-6, body, (tz.tree.zeros_like(b), b, b, tz.tree.dot(b, b)), 10)[0]

    torch.testing.assert_close(compiled(conjugate_gradient)(start()), conjugate_gradient(start()), rtol=1e-4, atol=1e-5)


def test_compiled_loops_nest_and_pass_the_carry_through() -> None:
    def run(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def outer(c: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
            inner = tz.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 0.9), (torch.zeros(()), c[1]))
            return c[0] + 1, inner[1], c[2]

        return tz.while_loop(lambda c: c[0] < 4, outer, (torch.zeros(()), x, x))

    x = torch.tensor([1.0, 2.0])
    torch.testing.assert_close(compiled(run)(x), run(x))


def test_a_compiled_loop_that_never_starts_and_one_that_is_cut_short() -> None:
    assert compiled(halvings)(torch.tensor(0.5)) == 0.5
    assert compiled(lambda x: halvings(x, 2))(torch.tensor(40.0)) == 10


# ---------------------------------------------------------------------- cond


def sign_root(x: Tensor) -> Tensor:
    return tz.cond(x > 0, lambda x: x.sqrt(), lambda x: x * 2, x)


def test_cond_runs_one_branch_when_the_flag_is_known() -> None:
    then, otherwise = Counted(lambda x: x + 1), Counted(lambda x: x - 1)
    assert tz.cond(torch.tensor(True), then, otherwise, torch.tensor(1.0)) == 2
    assert tz.cond(False, then, otherwise, torch.tensor(1.0)) == 0
    assert (then.calls, otherwise.calls) == (1, 1)


def test_cond_vmapped_and_compiled_selects() -> None:
    x = torch.tensor([4.0, -3.0])
    assert torch.equal(torch.vmap(sign_root)(x), torch.tensor([2.0, -6.0]))
    assert torch.equal(
        torch.vmap(torch.func.grad(lambda x: tz.cond(x > 0, lambda x: x**2, lambda x: x * 2, x)))(x),
        torch.tensor([8.0, 2.0]),
    )
    run = compiled(sign_root)
    assert [run(v).item() for v in x] == [2.0, -6.0]


def test_cond_inside_grad_alone_knows_its_flag() -> None:
    assert torch.func.grad(sign_root)(torch.tensor(4.0)) == 0.25


def test_concrete() -> None:
    assert concrete(True) is True
    assert concrete(torch.tensor(False)) is False
    seen = []
    torch.func.grad(lambda x: seen.append(concrete(x > 0)) or x)(torch.tensor(1.0))
    torch.vmap(lambda x: seen.append(concrete(x > 0)) or x)(torch.ones(2))
    torch.vmap(torch.func.grad(lambda x: seen.append(concrete(x > 0)) or x))(torch.ones(2))
    assert seen == [True, None, None]
    assert not is_batched(3.0)


def test_a_loop_inside_does_not_wait_for_lanes_that_are_done_outside() -> None:
    """Lane i runs the outer loop i times, and the inner one longer the fewer there are."""
    inner_steps = 0

    def lane(n: Tensor) -> tuple[Tensor, Tensor]:
        def inner(k: Tensor) -> Tensor:
            nonlocal inner_steps
            inner_steps += 1
            return k - 1

        def outer(at: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            k, total = at
            left = tz.while_loop(lambda j: j > 0, inner, 10 - n)
            return k + 1, total + 10 - n - left

        return tz.while_loop(lambda at: at[0] < n, outer, (0 * n, 0 * n))

    n = torch.tensor([1, 4, 8])
    count, total = torch.vmap(lane)(n)
    assert count.tolist() == [1, 4, 8]
    assert total.tolist() == [9, 4 * 6, 8 * 2]
    assert inner_steps == 9 + 3 * 6 + 4 * 2


def test_a_loop_in_a_branch_runs_for_the_lanes_that_take_it() -> None:
    steps = 0

    def count_down(x: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return x - 1

    def lane(x: Tensor) -> Tensor:
        return tz.cond(x < 5, lambda: tz.while_loop(lambda x: x > 0, count_down, x), lambda: -x)

    assert torch.vmap(lane)(torch.tensor([3.0, 100.0, 2.0])).tolist() == [0.0, -100.0, 0.0]
    assert steps == 3
    assert torch.vmap(torch.vmap(lane))(torch.tensor([[3.0, 7.0], [4.0, 9.0]])).tolist() == [[0, -7], [0, -9]]
