"""Schedule: a hyperparameter that is a pure function of its module's own update count."""

import dataclasses
import sys
from typing import Any

from torch import Tensor

from torchzero.core.registration import register_dataclass_node

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform  # torch depends on it


@dataclass_transform(frozen_default=True, eq_default=False)
class Schedule:
    """A value for each step; give one where a module expects a number.

    Subclasses declare fields as modules do and implement `value(k)`, where `k` is a 0-d integer tensor: 0 at the
    module's first update. Numeric fields are leaves, so a schedule can be vmapped over and differentiated with respect
    to its end points. Values are 0-d float64 tensors, which take on the dtype of what they multiply.

    >>> import torch, torchzero as tz
    >>> tz.schedules.Linear(1.0, 0.0, steps=4)(torch.tensor(1))
    tensor(0.7500, dtype=torch.float64)
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        register_dataclass_node(cls, lambda field, _: field.metadata.get("kind") in ("hyper", "children"))

    def __post_init__(self) -> None:
        """Check Python numbers and static values; sequences of pieces become tuples."""
        from torchzero.core import hyper

        owner = type(self).__name__
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            name, value, meta = field.name, getattr(self, field.name), field.metadata
            kind = meta.get("kind")
            if kind == "hyper":
                if isinstance(value, Schedule | dict | list | tuple):
                    raise TypeError(
                        f"{owner}({name}={value!r}): must be a number or a 0-d tensor; schedules are joined with "
                        "Piecewise, and for several values give the module a tree of schedules"
                    )
                hyper.check_hyper(owner, name, value, meta["range"], meta["optional"])
            elif kind == "children":
                object.__setattr__(self, name, tuple(value))
                for i, piece in enumerate(getattr(self, name)):
                    hyper.check_hyper(owner, f"{name}[{i}]", piece, hyper.ANY, optional=False)
            else:
                hyper.check_static(owner, name, value, meta)

    def value(self, k: Tensor) -> Tensor:
        """The value after `k` updates."""
        raise TypeError(f"{type(self).__name__} must implement value(k)")

    def __call__(self, k: Tensor) -> Tensor:
        return self.value(k)
