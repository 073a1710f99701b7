"""Smoothing: modules that smooth the update or the objective."""

from torchzero.smoothing.laplacian_smoothing import LaplacianSmoothing as LaplacianSmoothing

# Aliases: {}
