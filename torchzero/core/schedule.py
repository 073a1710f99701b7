"""Schedule: a hyperparameter that is a pure function of its module's own update count."""

import dataclasses
from typing import Any

from torch import Tensor

from torchzero.core.registration import register_dataclass_node


class Schedule:
    """A value for each step; give one where a module expects a number.

    Subclasses implement `value(k)`, where `k` is a 0-d integer tensor: 0 at the module's first update. Numeric
    fields are leaves, so a schedule can be vmapped over and differentiated with respect to its end points.

    >>> import torchzero as tz
    >>> tz.schedules.Linear(1.0, 0.0, steps=4)(torch.tensor(1))
    tensor(0.7500)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        register_dataclass_node(cls, lambda field, _: field.metadata.get("kind") == "hyper")

    def value(self, k: Tensor) -> Tensor:
        """The value after `k` updates."""
        raise TypeError(f"{type(self).__name__} must implement value(k)")

    def __call__(self, k: Tensor) -> Tensor:
        return self.value(k)
