"""Subtraction: the end of a step where nothing elementwise is left to do."""

import torch

from torchzero.stateful.executor.group import Group, Now, Writes


class Subtraction(Group):
    """Move parameters by their directions."""

    def step(self, now: Now) -> Writes:
        params, us = [now.params[i].detach() for i in self.who], [now.us[i] for i in self.who]
        torch._foreach_sub_(params, us)  # pyright: ignore[reportPrivateImportUsage]
        return []
