"""The step size family."""
