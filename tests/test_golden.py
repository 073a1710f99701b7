"""Trajectories recorded from other implementations are met, by the functional run and by Modular."""

import pytest

from tests import golden
from tests.registry import exists, names_in

# Names in the records that no module has yet. Their families are later work.
LATER = {
    "adaptive": (
        "AEGD AdaptiveHeavyBall GGT NaturalGradient ScaleLRBySignChange SignConsistencyLRs SignConsistencyMask "
        "lre.Adam lre.EMA"
    ),
    "experimental": "BlockPartition CurveBall FFTProjection TensorizeProjection",
    "misc": "PrintLoss PrintParams PrintShape PrintUpdate ReduceOutwardLR",
    "momentum": (
        "IntermoduleCautious ScaleByGradCosineSimilarity ScaleModulesByCosineSimilarity UpdateGradientSignConsistency"
    ),
    "step_size": "AdGD BBStab BoldDriver",
}

RECORDS = {
    key: record for key, record in golden.records().items() if all(exists(name) for name in names_in(record["chain"]))
}


def test_the_records_left_out_are_those_of_later_families() -> None:
    missing = {n for r in golden.records().values() for n in names_in(r["chain"]) if not exists(n)}
    assert missing == {name for names in LATER.values() for name in names.split()}


@pytest.mark.parametrize("key", sorted(RECORDS))
def test_functional_run_meets_the_record(key: str) -> None:
    record = RECORDS[key]
    assert golden.worst_error(record, golden.run_functional(record)) <= 1


@pytest.mark.filterwarnings("ignore:Modular. several modules have a setting called lr:UserWarning")
@pytest.mark.filterwarnings("ignore:Modular. LBFGS models curvature by differences:UserWarning")
@pytest.mark.parametrize("key", sorted(RECORDS))
def test_modular_meets_the_record(key: str) -> None:
    record = RECORDS[key]
    assert golden.worst_error(record, golden.run_modular(record)) <= 1
