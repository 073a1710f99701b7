"""chain: composition is associative and has a neutral element."""

from typing import Any

from hypothesis import strategies as st

from torchzero.core.chain import Chain
from torchzero.core.module import Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.testing.differences import same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.neighbours import Group, Mean, Scaled
from torchzero.testing.running import visible
from torchzero.testing.strategies import Run, runs


def _results(module: Module, run: Run) -> list[dict[str, Any]]:
    state, out = module.init(run.params[0]), []
    for k in range(run.steps):
        state, var = module.step(state, run.var(k))
        out.append(visible(var))
    return out


def _by_hand(modules: tuple[Module, ...], run: Run) -> list[dict[str, Any]]:
    states: list[Any] = [m.init(run.params[0]) for m in modules]
    out = []
    for k in range(run.steps):
        var = run.var(k)
        for i, m in enumerate(modules):
            states[i], var = m.step(states[i], var)
        out.append(visible(var))
    return out


def _updates(results: list[dict[str, Any]]) -> list[Tree]:
    return [r["update"] for r in results]


def _stops(module: Module, run: Run) -> bool:
    state, stopped = module.init(run.params[0]), False
    for k in range(run.steps):
        state, var = module.step(state, run.var(k))
        stopped = stopped or not isinstance(var.stop, bool) or var.stop
    return stopped


def _apart(module: Module, run: Run) -> list[Any]:
    """The run with update and apply called apart."""
    state, out = module.init(run.params[0]), []
    for k in range(run.steps):
        var: Var = run.var(k)
        state = module.update(state, var)
        out.append(visible(module.apply(state, var)))
    return out


def check(module: Module, draw: Draw) -> None:
    """Bracket the module with simple neighbours in every way, and run the same by hand."""
    run = draw(runs(module))
    a: Module = draw(st.sampled_from([Scaled(0.5), Mean(0.75)]))
    b: Module = draw(st.sampled_from([Mean(0.25), Scaled(-2.0)]))

    alone = _results(module, run)
    if not _stops(module, run):  # `stop` is about the modules after this one at the same level: it does not pass walls
        neutral = {
            "Chain(m)": Chain(module),
            "Chain(Chain(), m)": Chain(Chain(), module),
            "Chain(m, Chain())": Chain(module, []),
        }
        for name, chained in neutral.items():
            same_bits(f"{name} against m alone", _results(chained, run), alone)
        by_hand = _updates(_by_hand((a, module, b), run))
        same_bits(
            f"Chain({a}, m, {b}) against running them by hand", _updates(_results(Chain(a, module, b), run)), by_hand
        )
        left, right = Chain(Group(Chain(a, module)), b), Chain(a, Group(Chain(module, b)))
        same_bits(f"(({a}, m), {b}) against running them by hand", _updates(_results(left, run)), by_hand)
        same_bits(f"({a}, (m, {b})) against running them by hand", _updates(_results(right, run)), by_hand)
        twice = _updates(_by_hand((module, b, module), run))
        same_bits(
            f"Chain(m, {b}, m) against running them by hand", _updates(_results(Chain(module, b, module), run)), twice
        )
    chained = Chain(a, module, b)
    same_bits(f"Chain({a}, m, {b}): update and apply against step", _apart(chained, run), _results(chained, run))


LAW = Law(
    "(a, b), c is a, (b, c); the empty chain is neutral; a chain is its modules run one after the other", check, 5
)
