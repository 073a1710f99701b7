"""The scripts that `make bench` runs still run: on small problems, and without looking at the clock."""

import pytest

from tests.bench import ensembles, lbfgs_overhead, step_memory, step_overhead


@pytest.mark.parametrize("search", [False, True])
def test_lbfgs_overhead(search: bool, capsys: pytest.CaptureFixture[str]) -> None:
    lbfgs_overhead.compare([(5, 3), (3,)], history=2, search=search, rounds=3)
    assert "beyond the closure" in capsys.readouterr().out


def test_the_closure_of_lbfgs_overhead_gives_its_gradient() -> None:
    made = lbfgs_overhead.Objective([(5, 3), (3,)])
    p = made.params[1]
    losses = []
    for side in (1, -1):
        p.data[0] += side * 1e-2
        losses.append(made.closure().item())
        p.data[0] -= side * 1e-2
    made.closure()
    assert p.grad is not None
    assert p.grad[0].item() == pytest.approx((losses[0] - losses[1]) / 2e-2, rel=0.05, abs=1e-4)


def test_ensembles(capsys: pytest.CaptureFixture[str]) -> None:
    assert ensembles.eager(3, (4, 5, 2), 6, rounds=2) > 0
    assert "vmapped" in capsys.readouterr().out


@pytest.mark.parametrize("way", list(step_memory.WAYS))
def test_step_memory(way: str, capsys: pytest.CaptureFixture[str]) -> None:
    step_memory.report_one(way, next(iter(step_overhead.WORK)))
    assert float(capsys.readouterr().out) > 10
