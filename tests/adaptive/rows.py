"""Rows of the adaptive family."""

import torch

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "Adagrad": Row(
        lambda: tz.m.Adagrad(lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3, alpha=0.7),
        more=(lambda: tz.m.Adagrad(inner=tz.m.EMA(0.5), accumulator_tfm=tz.m.EMA(0.3, debias=True)),),
    ),
    "AdagradNorm": Row(
        lambda: tz.m.AdagradNorm(lr_decay=0.1, initial_accumulator_value=0.3, eps=1e-3, alpha=0.7),
        more=(
            lambda: tz.m.AdagradNorm(beta=0.8, layerwise=False),
            lambda: tz.m.AdagradNorm(beta=0.8, beta_debias=False, use_sqrt=False, eps=0.1, inner=tz.m.EMA(0.5)),
        ),
    ),
    "Adam": Row(
        lambda: tz.m.Adam(beta1=0.8, beta2=0.95, eps=1e-3, alpha=0.7),
        more=(
            lambda: tz.m.Adam(amsgrad=True, debias=False),
            lambda: tz.m.Adam(exp_avg_tfm=tz.m.EMA(0.5), exp_avg_sq_tfm=tz.m.EMA(0.3, debias=True)),
        ),
    ),
    "Adan": Row(
        lambda: tz.m.Adan(beta1=0.9, beta2=0.8, beta3=0.95, eps=1e-3),
        more=(lambda: tz.m.Adan(m_tfm=tz.m.EMA(0.5), v_tfm=tz.m.EMA(0.4), n_tfm=tz.m.EMA(0.3, debias=True)),),
    ),
    "DualNormCorrection": Row(tz.m.DualNormCorrection, more=(lambda: tz.m.DualNormCorrection(channel_first=False),)),
    "FullMatrixAdagrad": Row(
        lambda: tz.m.FullMatrixAdagrad(reg=1e-3, precond_freq=2, beta=0.8),
        more=(
            lambda: tz.m.FullMatrixAdagrad(concat_params=False, init="GGT", reg=0.1, matrix_power=-0.25),
            lambda: tz.m.FullMatrixAdagrad(init="zeros", reg=0.1, inner=tz.m.EMA(0.5), accumulator_tfm=tz.m.EMA(0.5)),
        ),
    ),
    "Lion": Row(lambda: tz.m.Lion(0.8, 0.95)),
    "MARSCorrection": Row(lambda: tz.m.MARSCorrection(beta=0.8, scaling=0.1, max_norm=2.0)),
    "Muon": Row(
        lambda: tz.m.Muon(method="svd"),
        "tests/adaptive/test_muon.py::test_agrees_with_torch_on_matrices",
        more=(lambda: tz.m.Muon(nesterov=False, adjust_lr="match_rms_adamw", fallback=tz.m.LR(0.1)),),
    ),
    "MuonAdjustLR": Row(
        lambda: tz.m.MuonAdjustLR(alpha=0.7), more=(lambda: tz.m.MuonAdjustLR(channel_first=False, mode="original"),)
    ),
    "OrthoGrad": Row(lambda: tz.m.OrthoGrad(eps=1e-3), more=(lambda: tz.m.OrthoGrad(renormalize=False),)),
    "Orthogonalize": Row(
        lambda: tz.m.Orthogonalize(method="svd", adjust_lr=True),
        more=(
            tz.m.Orthogonalize,
            lambda: tz.m.Orthogonalize(method="ns5", channel_first=False),
            lambda: tz.m.Orthogonalize(method="polar_express", dual_norm_correction=True),
            lambda: tz.m.Orthogonalize(method="qr"),
            lambda: tz.m.Orthogonalize(method="eigh"),
            lambda: tz.m.Orthogonalize(method="ns5", dual_norm_correction=True, dtype=torch.float64),
        ),
    ),
    "RMSprop": Row(
        lambda: tz.m.RMSprop(smoothing=0.9, eps=1e-3, centered=True),
        more=(
            lambda: tz.m.RMSprop(debias=True, amsgrad=True, inner=tz.m.EMA(0.5)),
            lambda: tz.m.RMSprop(init="update", debias=True, exp_avg_sq_tfm=tz.m.EMA(0.3, debias=True)),
        ),
    ),
    "Rprop": Row(lambda: tz.m.Rprop(alpha=0.1), more=(lambda: tz.m.Rprop(alpha=0.1, backtrack=False),)),
    "SOAP": Row(
        lambda: tz.m.SOAP(precond_freq=2, merge_small=False, precondition_1d=False),
        "tests/adaptive/test_soap.py::test_agrees_with_the_algorithm_in_numpy",
        more=(
            lambda: tz.m.SOAP(merge_small=False, precondition_1d=False, proj_exp_avg=False, inner=tz.m.EMA(0.5)),
            lambda: tz.m.SOAP(max_dim=3, merge_small=False, shampoo_beta=None, debias=False, precondition_1d=False),
        ),
    ),
    "ScheduleFree": Row(
        lambda: tz.m.ScheduleFree(tz.m.Adagrad(), lr=0.3, beta=0.8, r=0.5, weight_lr_power=1.5),
        more=(lambda: tz.m.ScheduleFree([tz.m.ClipNorm(1.0), tz.m.LR(0.1)], beta=1.0, warmup_steps=3),),
    ),
    "ScheduleFreeAdamW": Row(lambda: tz.m.ScheduleFreeAdamW(lr=0.1, weight_decay=0.1, eps=1e-3)),
    "ScheduleFreeSGD": Row(lambda: tz.m.ScheduleFreeSGD(lr=0.1, weight_decay=0.1)),
    "Shampoo": Row(
        lambda: tz.m.Shampoo(reg=1e-3, precond_freq=2, merge_small=False),
        more=(
            lambda: tz.m.Shampoo(precond_freq=1, max_dim=6, beta=0.8),
            lambda: tz.m.Shampoo(merge_small=False, max_dim=3, precondition_1d=False, inner=tz.m.EMA(0.5)),
        ),
    ),
}
