"""Every module that is a function of (update, parameters, loss) agrees with an independent statement of its rule."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracle, registry

ORACLES = registry.oracles()


@pytest.mark.parametrize("name", sorted(ORACLES))
@settings(max_examples=20)
@given(data=st.data())
def test_agrees_with_its_oracle(name: str, data: st.DataObject) -> None:
    entry = ORACLES[name]
    hypers = {k: data.draw(strategy, label=k) for k, strategy in entry.hypers.items()}
    oracle.compare(entry, data.draw(oracle.runs()), hypers)
