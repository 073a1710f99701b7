"""The examples run, small, and do what they promise."""

import importlib.util
import pathlib
import re
import sys
from typing import Any

import pytest

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


def run(name: str, *size: int) -> Any:
    """Call `main` of an example, smaller than by itself."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a compiled step looks its functions' module up
    spec.loader.exec_module(module)
    return module.main(*size)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")


def test_quickstart_learns_the_digits(tmp_path):
    accuracy = run("quickstart", 20)
    assert accuracy >= 0.97
    assert (tmp_path / "quickstart.png").stat().st_size > 10_000


def test_maml_learns_to_adapt(tmp_path):
    before, after = run("maml_sinusoid", 60)
    assert after < 0.7 * before
    assert (tmp_path / "maml_sinusoid.png").stat().st_size > 10_000


def test_vmap_sweep_trains_every_lane(tmp_path):
    losses = run("vmap_sweep", 40)
    assert len(losses) == 64
    assert min(losses) < 0.1 * max(losses)
    assert (tmp_path / "vmap_sweep.png").stat().st_size > 10_000


def test_batched_lbfgs_fits_every_resample(tmp_path):
    run("batched_lbfgs", 32)
    assert (tmp_path / "batched_lbfgs.png").stat().st_size > 10_000


def test_curve_fit_agrees_with_scipy_and_knows_its_errors(tmp_path):
    away, inside = run("curve_fit", 60)
    assert away < 1e-3
    assert 0.9 < inside < 0.99
    assert (tmp_path / "curve_fit.png").stat().st_size > 10_000


def test_pinn_comes_closer_by_ssbroyden(tmp_path):
    errors = run("pinn", 300)
    assert errors["SSBroyden"] < 0.15 < errors["L-BFGS"] < errors["Adam"]
    assert (tmp_path / "pinn.png").stat().st_size > 10_000


def test_hyperparameters_are_learned(tmp_path):
    before, learned = run("learn_hyperparameters", 5)
    assert learned < 0.7 * before
    assert (tmp_path / "learn_hyperparameters.png").stat().st_size > 10_000


def test_write_a_module_obeys_the_laws():
    run("write_a_module")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_short_and_documented(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert text.startswith('"""')


def test_every_example_is_run_here_and_named_in_the_readme():
    here = pathlib.Path(__file__).read_text(encoding="utf-8")
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    for path in EXAMPLES:
        assert re.search(rf'run\("{path.stem}"', here), path
        assert path.name in readme, path
