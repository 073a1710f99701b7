"""Wrappers: foreign optimizers as modules."""

from torchzero.wrappers.wrap import Wrap as Wrap
from torchzero.wrappers.wrap_closure import WrapClosure as WrapClosure
