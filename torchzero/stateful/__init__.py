"""The shell: Modular and what it stands on. The only part of the library that mutates."""

from torchzero.stateful.modular import Modular as Modular
