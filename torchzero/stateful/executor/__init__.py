"""The executor: a chain evaluated in the layout that is fastest, where the modules' locality makes layouts equal."""

from torchzero.stateful.executor.executor import Executor as Executor
