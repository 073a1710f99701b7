"""Wrappers: foreign optimizers as modules."""

from torchzero.wrappers.wrap import Wrap as Wrap
