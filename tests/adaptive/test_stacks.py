"""Rules for one tensor, over a stack of tensors that share the count of steps: as in a loop, and without a fallback."""

from typing import Any

import pytest
import torch
from torch.utils import _pytree as pytree

from tests import registry
from torchzero.core.transform import At, TensorwiseTransform
from torchzero.testing.strategies import fill

N = 3


def _modules():
    for name, (_, row) in sorted(registry.entries().items()):
        for k, make in enumerate((row.make, *row.more)):
            module = make()
            if isinstance(module, TensorwiseTransform) and module.locality == "tensor" and not module.children():
                yield pytest.param(module, id=f"{name}-{k}")


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4,), (3, 2, 2), ()])
@pytest.mark.parametrize("module", list(_modules()))
def test_a_stack_is_a_loop(module: Any, shape: tuple[int, ...]) -> None:
    params, loss = fill(0, (N, *shape)), torch.tensor(1.5, dtype=torch.float64)
    states = [module.init_tensor(p) for p in params]
    kind = type(states[0])
    counted = "t" in getattr(kind, "_fields", ())
    # one count for all, and everything else stacked
    dims = kind(*(None if field == "t" else 0 for field in kind._fields)) if states[0] != () else None
    stack = pytree.tree_map(lambda *xs: torch.stack(xs), *states)
    for step in range(1, 6):
        u, g = fill(2 * step, (N, *shape)), fill(2 * step + 1, (N, *shape))
        t = torch.tensor(step)
        scalars = module.scalars(t.to(torch.float64)) if counted else None
        if counted:
            states, stack = [s._replace(t=t) for s in states], stack._replace(t=t)

        def one(s: Any, u: Any, p: Any, g: Any, scalars: Any = scalars) -> Any:
            return module.step_tensor(s, u, At(p, g, loss, scalars))

        pairs = [one(*row) for row in zip(states, u, params, g, strict=True)]
        states = [s for s, _ in pairs]
        stack, d = torch.vmap(one, (dims, 0, 0, 0), (dims, 0))(stack, u, params, g)
        torch.testing.assert_close(d, torch.stack([d for _, d in pairs]), rtol=1e-6, atol=1e-6)
