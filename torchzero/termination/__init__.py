"""Termination criteria: modules that leave the direction alone and say when the work is done."""

from torchzero.termination.base import TerminationCriteriaBase as TerminationCriteriaBase
from torchzero.termination.combined import TerminateAll as TerminateAll
from torchzero.termination.combined import TerminateAny as TerminateAny
from torchzero.termination.combined import make_termination_criteria as make_termination_criteria
from torchzero.termination.counts import TerminateAfterNEvaluations as TerminateAfterNEvaluations
from torchzero.termination.counts import TerminateAfterNSeconds as TerminateAfterNSeconds
from torchzero.termination.counts import TerminateAfterNSteps as TerminateAfterNSteps
from torchzero.termination.counts import TerminateNever as TerminateNever
from torchzero.termination.progress import TerminateByGradientNorm as TerminateByGradientNorm
from torchzero.termination.progress import TerminateByUpdateNorm as TerminateByUpdateNorm
from torchzero.termination.progress import TerminateOnLossReached as TerminateOnLossReached
from torchzero.termination.progress import TerminateOnNoImprovement as TerminateOnNoImprovement

# Aliases: {}
