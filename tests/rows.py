"""Row: what the registry knows about one public module."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torchzero as tz


class Row(NamedTuple):
    """One public module.

    make: a representative instance, with hyperparameters away from their defaults where that shows more.
    oracle: "table" for an entry in the family's oracles.py, "golden" for records in tests/data/golden.json that contain
        the module, or the path::name of a test with an independent statement of the rule.
    exempt: law -> the reason why it cannot hold.
    more: further instances for which the laws are checked as well (modes, children).
    """

    make: Callable[[], tz.Module]
    oracle: str = "table"
    exempt: Mapping[str, str] = {}
    more: tuple[Callable[[], tz.Module], ...] = ()
