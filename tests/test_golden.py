"""Trajectories recorded from other implementations are met, by the functional run and by Modular."""

import pytest

from tests import golden
from tests.registry import exists, names_in

# Names in the records that no module has yet. Their families are later work.
LATER = {
    "adaptive": (
        "AEGD ASAM AdaptiveHeavyBall GGT MSAMMomentum NaturalGradient SAM ScaleLRBySignChange "
        "SignConsistencyLRs SignConsistencyMask lre.Adam lre.EMA"
    ),
    "conjugate_gradient": (
        "ConjugateDescent DYHS DaiYuan FletcherReeves HagerZhang HestenesStiefel LiuStorey PolakRibiere "
        "ProjectedGradientMethod"
    ),
    "experimental": "BlockPartition CurveBall FFTProjection TensorizeProjection",
    "grad_approximation": "FDM",
    "least_squares": "GaussNewton SumOfSquares",
    "line_search": "AdaptiveBisection ArmijoLS Backtracking GridLineSearch ScipyMinimizeScalar StrongWolfe",
    "misc": (
        "LambdaHomotopy LogHomotopy PrintLoss PrintParams PrintShape PrintUpdate ReduceOutwardLR "
        "SqrtHomotopy SquareHomotopy"
    ),
    "momentum": (
        "IntermoduleCautious ScaleByGradCosineSimilarity ScaleModulesByCosineSimilarity UpdateGradientSignConsistency"
    ),
    "quasi_newton": (
        "BFGS BroydenBad BroydenGood DFP DNRTR DiagonalQuasiCauchi DiagonalSR1 "
        "DiagonalWeightedQuasiCauchi FletcherVMM GradientCorrection Greenstadt1 Greenstadt2 Horisho ICUM "
        "LBFGS LSR1 McCormick NewDQN NewSSM PSB Pearson ProjectedNewtonRaphson SR1 SSVM ShorR "
        "ThomasOptimalMethod"
    ),
    "restarts": "BirginMartinezRestart RestartEvery RestartOnStuck",
    "second_order": (
        "ExactNewton ImprovedNewton InverseFreeNewton Newton NewtonCG NewtonCGSteihaug SixthOrder3P "
        "SixthOrder3PM2 SixthOrder5P SubspaceNewton TwoPointNewton"
    ),
    "step_size": "AdGD BBStab BoldDriver",
    "termination": (
        "TerminateAfterNSteps TerminateByGradientNorm TerminateByUpdateNorm TerminateNever "
        "TerminateOnLossReached TerminateOnNoImprovement"
    ),
    "trust_region": "CubicRegularization Dogleg LevenbergMarquardt TrustCG",
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
@pytest.mark.parametrize("key", sorted(RECORDS))
def test_modular_meets_the_record(key: str) -> None:
    record = RECORDS[key]
    assert golden.worst_error(record, golden.run_modular(record)) <= 1
