"""Every public module obeys every law that its row does not exempt it from, with a reason."""

from collections.abc import Callable

import pytest

import torchzero as tz
from tests import registry
from torchzero.testing import LAWS, check_law

CASES = [
    pytest.param(make, law, id=f"{name}-{law}")
    for name, make, row in registry.instances()
    for law in LAWS
    if law not in row.exempt
]


@pytest.mark.parametrize(("make", "law"), CASES)
def test_law(make: Callable[[], tz.Module], law: str) -> None:
    check_law(make(), law)
