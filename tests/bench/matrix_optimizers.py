"""What Muon, SOAP and Shampoo cost next to their peers: python -m tests.bench.matrix_optimizers [threads]."""

import sys
from collections.abc import Callable

import torch
from pytorch_optimizer import SOAP, ScalableShampoo, Shampoo

import torchzero as tz
from tests.bench.paired import interleaved, table
from tests.bench.step_overhead import parameters

Step = Callable[[], object]
Shapes = list[tuple[int, ...]]

PERIOD = 10  # updates between two refreshes of a basis or root: a turn is a whole period


def network(n: int) -> Shapes:
    """A dozen matrices of one shape, and the vectors that go with them."""
    return [*[(n, n)] * 12, *[(n,)] * 12, (n, 10), (10,)]


def ours(shapes: Shapes, *chain: tz.Module, loop: bool = False) -> Step:
    """A step of Modular; as a loop, tensor by tensor."""
    opt = tz.Modular(parameters(shapes), *chain)
    opt.executor.enabled = not loop
    return opt.step


def period(step: Step) -> Step:
    """As many steps as there are between two refreshes."""

    def steps() -> None:
        for _ in range(PERIOD):
            step()

    return steps


def torch_muon(shapes: Shapes) -> Step:
    """torch.optim.Muon for the matrices, AdamW for the rest."""
    params = parameters(shapes)
    matrices = torch.optim.Muon([p for p in params if p.ndim == 2], 1e-3, weight_decay=0)
    rest = torch.optim.AdamW([p for p in params if p.ndim != 2], 1e-3, weight_decay=0, fused=True)

    def step() -> None:
        matrices.step()
        rest.step()

    return step


def muon() -> dict[str, Step]:
    """Muon on matrices of 768, in the dtype of the update and as torch.optim works, in bfloat16."""
    shapes = network(768)
    made = {"torch.optim.Muon and AdamW(fused=True)": torch_muon(shapes)}
    for dtype in (torch.bfloat16, None):
        for loop in (False, True):
            name = f"Muon({'' if dtype is None else 'dtype=torch.bfloat16'}), LR" + ", loop" * loop
            made[name] = ours(shapes, tz.m.Muon(dtype=dtype), tz.m.LR(1e-3), loop=loop)
    return made


def soap() -> dict[str, Step]:
    """SOAP with the same decays, period and dimensions."""
    shapes = network(256)
    same = {"precond_freq": PERIOD, "merge_small": False, "max_dim": 4096, "precondition_1d": True}
    theirs = SOAP(
        parameters(shapes),
        1e-3,
        betas=(0.95, 0.95),
        shampoo_beta=0.95,
        weight_decay=0,
        precondition_frequency=PERIOD,
        max_precondition_dim=4096,
        merge_dims=False,
        precondition_1d=True,
    )
    made: dict[str, Step] = {"pytorch_optimizer.SOAP": theirs.step}
    for loop in (False, True):
        made["SOAP, LR" + ", loop" * loop] = ours(shapes, tz.m.SOAP(0.95, 0.95, 0.95, **same), tz.m.LR(1e-3), loop=loop)
    return {name: period(step) for name, step in made.items()}


def shampoo() -> dict[str, Step]:
    """Shampoo with the same period and dimensions: sums next to Shampoo, means next to ScalableShampoo."""
    shapes = network(256)
    made: dict[str, Step] = {
        "pytorch_optimizer.Shampoo": Shampoo(parameters(shapes), 1e-3, preconditioning_compute_steps=PERIOD).step,
        "pytorch_optimizer.ScalableShampoo": ScalableShampoo(
            parameters(shapes),
            1e-3,
            start_preconditioning_step=1,
            preconditioning_compute_steps=PERIOD,
            graft_type=0,
            shape_interpretation=False,
        ).step,
    }
    for beta in (None, 0.999):
        for loop in (False, True):
            chain = tz.m.Shampoo(precond_freq=PERIOD, merge_small=False, beta=beta), tz.m.LR(1e-3)
            made[f"Shampoo(beta={beta}), LR" + ", loop" * loop] = ours(shapes, *chain, loop=loop)
    return {name: period(step) for name, step in made.items()}


def main(threads: int = 2) -> None:
    """Print the tables."""
    torch.set_num_threads(threads)
    suffix = f"{threads} thread{'s' * (threads > 1)}"
    for title, contenders, rounds in (
        ("12 x (768, 768) and vectors", muon, 5),
        (f"12 x (256, 256) and vectors, {PERIOD} steps", soap, 5),
        (f"12 x (256, 256) and vectors, {PERIOD} steps", shampoo, 3),
    ):
        steps = contenders()
        print(table(f"{title}, {suffix}", interleaved(steps, rounds=rounds, warmup=1), next(iter(steps))), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
