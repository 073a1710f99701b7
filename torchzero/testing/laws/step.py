"""step: step is update and then apply, and apply only looks."""

from torchzero.core.module import Module
from torchzero.testing.differences import same_bits
from torchzero.testing.laws.law import Draw, Law
from torchzero.testing.running import visible
from torchzero.testing.strategies import runs


def check(module: Module, draw: Draw) -> None:
    """Compare step with update and apply, apply with itself, and update twice with itself."""
    run = draw(runs(module))
    state = module.init(run.params[0])
    for k in range(run.steps):
        after, out = module.step(state, run.var(k))
        absorbed = module.update(state, run.var(k))
        same_bits(f"step {k}: the state after step, against the state after update", after, absorbed)
        once = visible(module.apply(absorbed, run.var(k)))
        same_bits(f"step {k}: the result of step, against update and then apply", visible(out), once)
        same_bits(f"step {k}: apply repeated", visible(module.apply(absorbed, run.var(k))), once)
        state = after
    # Evidence may be absorbed several times before a direction is asked for.
    last = run.steps - 1
    twice = module.update(module.update(state, run.var(0)), run.var(last))
    emitted = visible(module.apply(twice, run.var(last)))
    same_bits("two updates and then apply, repeated", visible(module.apply(twice, run.var(last))), emitted)
    through = module.step(module.update(state, run.var(0)), run.var(last))
    same_bits("update and then step, against two updates and then apply", visible(through[1]), emitted)


LAW = Law(
    "step is update and then apply; applying twice is applying once, and the state after apply is the state before",
    check,
)
