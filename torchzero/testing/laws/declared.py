"""declared: what a class says about itself is true."""

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from torchzero.core import tree
from torchzero.core.module import LOCALITIES, Module
from torchzero.core.tree import Tree
from torchzero.core.var import Var
from torchzero.testing.differences import DifferenceError, close, same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.running import unroll
from torchzero.testing.strategies import EVALUATING, Run, fill, needs, runs, seeds

NEEDS = frozenset({"params", "grad", "value"}) | EVALUATING


def _change(run: Run, params: Callable[[Tree], Tree], grads: Callable[[Tree], Tree]) -> Run:
    return Run(tuple(map(params, run.params)), tuple(map(grads, run.grads)), run.losses, run.objective)


def _scaled(factor: float) -> Callable[[Tree], Tree]:
    return lambda t: tree.map(lambda x: factor * x, t)


def _same(t: Tree) -> Tree:
    return t


def _scale(module: Module, run: Run, draw: Draw) -> None:
    c = draw(st.sampled_from([4.0, 0.25, 3.0]))
    got = unroll(module, _change(run, _same, _scaled(c))).updates
    close(f"gradients times {c}: direction, expected the same", got, unroll(module, run).updates, 1e-5)


def _homogeneous(module: Module, run: Run, draw: Draw) -> None:
    c = draw(st.sampled_from([4.0, 0.25, 3.0]))
    got = unroll(module, _change(run, _same, _scaled(c))).updates
    wanted = tuple(map(_scaled(c), unroll(module, run).updates))
    close(f"gradients times {c}: direction, expected {c} times as long", got, wanted, 1e-5)


def _sign(module: Module, run: Run, draw: Draw) -> None:
    got = unroll(module, _change(run, _scaled(-1.0), _scaled(-1.0))).updates
    wanted = tuple(map(_scaled(-1.0), unroll(module, run).updates))
    close("gradients and parameters negated: direction, expected the negative", got, wanted, 1e-8)


def _rotation(seed: int, n: int) -> Tensor:
    return torch.linalg.qr(fill(seed, (n, n)))[0]


def _orthogonal(module: Module, run: Run, draw: Draw) -> None:
    seed = draw(seeds())

    def turn(t: Tree) -> Tree:
        return tree.map(lambda x: _rotation(seed, x.shape[0]) @ x @ _rotation(seed + 1, x.shape[1]), t)

    got = unroll(module, _change(run, turn, turn)).updates
    close("matrices rotated left and right: direction", got, tuple(map(turn, unroll(module, run).updates)), 1e-5)


def _permutation(module: Module, run: Run, draw: Draw) -> None:
    seed = draw(seeds())

    def shuffle(t: Tree) -> Tree:
        def one(x: Tensor) -> Tensor:
            order = torch.randperm(x.numel(), generator=torch.Generator().manual_seed(seed))
            return x.reshape(-1)[order].reshape(x.shape)

        return tree.map(one, t)

    got = unroll(module, _change(run, shuffle, shuffle)).updates
    close("elements of each tensor permuted: direction", got, tuple(map(shuffle, unroll(module, run).updates)), 1e-8)


INVARIANCES: dict[str, Callable[[Module, Run, Draw], None]] = {
    "scale": _scale,
    "homogeneous": _homogeneous,
    "sign": _sign,
    "orthogonal": _orthogonal,
    "permutation": _permutation,
}


def _needs(module: Module, run: Run) -> None:
    """Show the module only what it asks for, and parameters that it must not look at as NaN."""
    wanted = needs(module)
    unknown = wanted - NEEDS
    if unknown:
        raise DifferenceError(f"needs names {', '.join(sorted(unknown))}; known are {', '.join(sorted(NEEDS))}")
    if wanted & EVALUATING:
        return

    def updates(var: Callable[[int], Var]) -> list[Any]:
        state, out = module.init(var(0).params), []
        for k in range(run.steps):
            state, emitted = module.step(state, var(k))
            out.append(emitted.update)
        return out

    expected = updates(run.var)
    hidden: dict[str, Any] = {} if "grad" in wanted else {"grad": None}
    try:
        got = updates(lambda k: run.var(k, update=run.grads[k], **hidden))
    except RuntimeError as error:
        shown = f"with only the direction given and needs={sorted(wanted)}"
        raise DifferenceError(f"{shown}, it raised: {error}") from error
    same_bits("the gradient given as the direction: direction", got, expected)
    if "params" not in wanted:
        blank = tuple(tree.map(lambda x: torch.full_like(x, float("nan")), p) for p in run.params)
        got = updates(lambda k: run.var(k).replace(params=blank[k], grad=run.grads[k], **_loss(run, k)))
        same_bits('the parameters replaced by NaN ("params" is not in needs): direction', got, expected)


def _loss(run: Run, k: int) -> dict[str, Any]:
    return {"loss": run.losses[k]} if run.losses else {}


def check(module: Module, draw: Draw) -> None:
    """Verify locality's name, needs and invariances."""
    for m in module.walk():
        if m.locality not in LOCALITIES:
            known = ", ".join(LOCALITIES)
            raise DifferenceError(f"{type(m).__name__}.locality is {m.locality!r}, expected one of {known}")
    claimed = frozenset(getattr(module, "invariances", ()))
    if claimed - INVARIANCES.keys():
        known = ", ".join(INVARIANCES)
        raise DifferenceError(f"invariances names {', '.join(sorted(claimed - INVARIANCES.keys()))}; known are {known}")
    shape = st.sampled_from([(2, 3), (3, 3), (4, 2)]) if "orthogonal" in claimed else None
    run = draw(
        runs(module, shape=shape, dtype=st.just(torch.float64), kinds=("ordinary", "zeros"), layouts=("contiguous",))
    )
    _needs(module, run)
    for name in sorted(claimed):
        INVARIANCES[name](module, run, draw)


LAW = Law("a module looks at nothing beyond its needs, and has the invariances that it claims", check, 5)
