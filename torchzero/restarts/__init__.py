"""Restarts: let modules forget what no longer helps."""

from torchzero.restarts.base import RestartStrategyBase as RestartStrategyBase
from torchzero.restarts.birgin_martinez_restart import BirginMartinezRestart as BirginMartinezRestart
from torchzero.restarts.powell_restart import PowellRestart as PowellRestart
from torchzero.restarts.restart_every import RestartEvery as RestartEvery
from torchzero.restarts.restart_on_stuck import RestartOnStuck as RestartOnStuck
from torchzero.restarts.restart_on_termination_criteria import (
    RestartOnTerminationCriteria as RestartOnTerminationCriteria,
)

# Aliases: {}
