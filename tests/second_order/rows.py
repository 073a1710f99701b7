"""Rows of the second-order family."""

import torch

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "ExactNewton": Row(lambda: tz.m.ExactNewton(tikhonov=0.5), "golden"),
    "ImprovedNewton": Row(
        lambda: tz.m.ImprovedNewton(damping=0.5),
        "tests/second_order/test_improved_newton.py::test_agrees_with_the_formula",
        more=(lambda: tz.m.ImprovedNewton(eigval_fn=torch.abs, update_freq=2, inner=tz.m.EMA(0.5)),),
    ),
    "InverseFreeNewton": Row(
        lambda: tz.m.InverseFreeNewton(update_freq=2),
        "tests/second_order/test_inverse_free_newton.py::test_agrees_with_the_formula",
    ),
    "Newton": Row(
        lambda: tz.m.Newton(damping=0.5, update_freq=2),
        "tests/second_order/test_newton.py::test_agrees_with_the_formula",
        more=(
            lambda: tz.m.Newton(eigval_fn=torch.abs, eigv_tol=0.05, truncate=4, inner=tz.m.EMA(0.5)),
            lambda: tz.m.Newton(use_lstsq=True),
            lambda: tz.m.Newton(precompute_inverse=True, hessian_method="gfd_central", h=0.01),
        ),
    ),
    "NewtonCG": Row(
        lambda: tz.m.NewtonCG(maxiter=3, reg=0.1),
        "tests/second_order/test_newton_cg.py::test_agrees_with_the_formula",
        more=(
            lambda: tz.m.NewtonCG(truncated=True),
            lambda: tz.m.NewtonCG(maxiter=3, reg=0.1, solver="minres", npc_terminate=True, inner=tz.m.EMA(0.5)),
            lambda: tz.m.NewtonCG(maxiter=2, hvp_method="fd_central", h=0.01, warm_start=True, warm_beta=0.5),
        ),
    ),
    "NewtonCGSteihaug": Row(
        lambda: tz.m.NewtonCGSteihaug(hvp_method="autograd", maxiter=3, reg=0.1),
        "tests/second_order/test_newton_cg_steihaug.py::test_the_step_is_the_truncated_solution",
        more=(lambda: tz.m.NewtonCGSteihaug(maxiter=2, init=0.3, h=0.01, adapt_tol=True, max_attempts=3),),
    ),
    "NewtonFDM": Row(
        lambda: tz.m.NewtonFDM(0.1),
        "tests/second_order/test_newton_fdm.py::test_agrees_with_the_formula",
        more=(lambda: tz.m.NewtonFDM(0.1, diag=True), lambda: tz.m.NewtonFDM(0.1, validate=True, fallback="gd")),
    ),
    "NystromPCG": Row(
        lambda: tz.m.NystromPCG(rank=3, maxiter=2, reg=0.1, seed=0),
        "tests/second_order/test_nystrom.py::test_pcg_solves_the_system",
        more=(lambda: tz.m.NystromPCG(rank=2, update_freq=2, inner=tz.m.EMA(0.5), seed=1),),
    ),
    "NystromSketchAndSolve": Row(
        lambda: tz.m.NystromSketchAndSolve(rank=3, reg=0.1, seed=0),
        "tests/second_order/test_nystrom.py::test_sketch_and_solve_is_exact_at_full_rank",
        more=(
            lambda: tz.m.NystromSketchAndSolve(
                rank=3, eigv_tol=0.1, truncate=2, damping=0.1, rdamping=0.1, update_freq=2, inner=tz.m.EMA(0.5), seed=1
            ),
        ),
    ),
    "SixthOrder3P": Row(tz.m.SixthOrder3P, "tests/second_order/test_multipoint.py::test_agrees_with_the_formula"),
    "SixthOrder3PM2": Row(tz.m.SixthOrder3PM2, "tests/second_order/test_multipoint.py::test_agrees_with_the_formula"),
    "SixthOrder5P": Row(tz.m.SixthOrder5P, "tests/second_order/test_multipoint.py::test_agrees_with_the_formula"),
    "SubspaceNewton": Row(
        lambda: tz.m.SubspaceNewton(sketch_size=3, seed=0),
        "tests/second_order/test_subspace_newton.py::test_the_step_minimises_the_model_in_the_subspace",
        more=(
            lambda: tz.m.SubspaceNewton(sketch_size=3, sketch_type="orthonormal", damping=0.1, update_freq=2, seed=0),
            lambda: tz.m.SubspaceNewton(
                sketch_size=6, sketch_type="mixed", eigval_fn=torch.abs, inner=tz.m.EMA(0.5), seed=0
            ),
            lambda: tz.m.SubspaceNewton(sketch_size=2, sketch_type="rows", seed=0),
        ),
    ),
    "TwoPointNewton": Row(
        tz.m.TwoPointNewton,
        "tests/second_order/test_multipoint.py::test_agrees_with_the_formula",
        more=(lambda: tz.m.TwoPointNewton(lstsq=True),),
    ),
}
