"""The smoothing family."""
