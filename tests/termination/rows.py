"""The termination criteria in the registry."""

import torchzero as tz
from tests.rows import Row

HERE = "tests/termination/test_termination.py"
PLAIN = f"{HERE}::test_a_criterion_holds_when_its_rule_says_so"


def _still() -> float:
    return 7.0


ROWS: dict[str, Row] = {
    "TerminateAfterNEvaluations": Row(
        lambda: tz.m.TerminateAfterNEvaluations(2), f"{HERE}::test_evaluations_are_counted_through_the_closure"
    ),
    "TerminateAfterNSeconds": Row(
        lambda: tz.m.TerminateAfterNSeconds(2.0, _still), f"{HERE}::test_seconds_are_those_since_the_first_step"
    ),
    "TerminateAfterNSteps": Row(lambda: tz.m.TerminateAfterNSteps(2), PLAIN),
    "TerminateAll": Row(
        lambda: tz.m.TerminateAll(tz.m.TerminateAfterNSteps(1), tz.m.TerminateByGradientNorm(3.0, n=2)),
        f"{HERE}::test_all_and_any_let_every_criterion_count_for_itself",
        more=(lambda: tz.m.TerminateAll(tz.m.TerminateAny(tz.m.TerminateNever()), tz.m.TerminateOnNoImprovement()),),
    ),
    "TerminateAny": Row(
        lambda: tz.m.TerminateAny(tz.m.TerminateAfterNSteps(1), tz.m.TerminateByUpdateNorm(3.0, n=2)),
        f"{HERE}::test_all_and_any_let_every_criterion_count_for_itself",
    ),
    "TerminateByGradientNorm": Row(
        lambda: tz.m.TerminateByGradientNorm(3.0, 2),
        PLAIN,
        more=(lambda: tz.m.TerminateByGradientNorm(1.0, 1, "mad"),),
    ),
    "TerminateByUpdateNorm": Row(
        lambda: tz.m.TerminateByUpdateNorm(0.5, 2),
        PLAIN,
        more=(lambda: tz.m.TerminateByUpdateNorm(0.5, 1, float("inf")),),
    ),
    "TerminateNever": Row(lambda: tz.m.TerminateNever(), PLAIN),
    "TerminateOnLossReached": Row(lambda: tz.m.TerminateOnLossReached(0.5), PLAIN),
    "TerminateOnNoImprovement": Row(lambda: tz.m.TerminateOnNoImprovement(0.1, 2), PLAIN),
    "make_termination_criteria": Row(
        lambda: tz.m.make_termination_criteria(ftol=0.1, gtol=2.0, stol=0.1, maxiter=3, target_loss=0.2, n=2),
        f"{HERE}::test_the_usual_settings_make_the_usual_criteria",
    ),
}
