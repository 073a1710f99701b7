"""Rows of the clipping family."""

import torchzero as tz
from tests.rows import Row

ROWS: dict[str, Row] = {
    "ClipValue": Row(lambda: tz.m.ClipValue(0.7)),
    "ClipNorm": Row(
        lambda: tz.m.ClipNorm(0.7),
        more=(
            lambda: tz.m.ClipNorm(0.7, dim="global"),
            lambda: tz.m.ClipNorm(0.7, ord=1, dim=0),
            lambda: tz.m.ClipNorm(0.7, ord="linf", dim=0, inverse_dims=True),
            lambda: tz.m.ClipNorm(0.7, ord="std", min_size=3),
        ),
    ),
    "Normalize": Row(
        lambda: tz.m.Normalize(0.7),
        more=(
            lambda: tz.m.Normalize(0.7, dim="global"),
            lambda: tz.m.Normalize(0.7, ord=1, dim=(0, -1)),
            lambda: tz.m.Normalize(0.7, ord="mad", dim="global"),
        ),
    ),
    "Centralize": Row(
        lambda: tz.m.Centralize(),
        more=(lambda: tz.m.Centralize("global"), lambda: tz.m.Centralize(0, inverse_dims=True)),
    ),
    "ClipNormByEMA": Row(
        lambda: tz.m.ClipNormByEMA(0.8, init=0.1),
        more=(
            lambda: tz.m.ClipNormByEMA(0.8, ord="mad", tensorwise=False, max_ema_growth=None),
            lambda: tz.m.ClipNormByEMA(0.8, inner=tz.m.EMA(0.5)),
        ),
    ),
    "NormalizeByEMA": Row(
        lambda: tz.m.NormalizeByEMA(0.8, max_ema_growth=1.2),
        more=(lambda: tz.m.NormalizeByEMA(0.8, tensorwise=False),),
    ),
    "ClipValueByEMA": Row(
        lambda: tz.m.ClipValueByEMA(0.8, init=0.5),
        more=(lambda: tz.m.ClipValueByEMA(0.8, inner=tz.m.NAG(0.5), exp_avg_tfm=tz.m.EMA(0.5)),),
    ),
    "ClipNormGrowth": Row(
        lambda: tz.m.ClipNormGrowth(mul=1.1),
        more=(lambda: tz.m.ClipNormGrowth(add=0.1, mul=None, max_decay=None, tensorwise=False),),
    ),
    "ClipValueGrowth": Row(
        lambda: tz.m.ClipValueGrowth(mul=1.1),
        more=(lambda: tz.m.ClipValueGrowth(add=0.1, mul=None, max_decay=None),),
    ),
    "AdaptiveClipNorm": Row(lambda: tz.m.AdaptiveClipNorm(0.3, 0.1), more=(lambda: tz.m.AdaptiveClipNorm(dim=0),)),
    "WithinBounds": Row(lambda: tz.m.WithinBounds(-0.5, 0.75), more=(lambda: tz.m.WithinBounds(ub=0.25),)),
}
