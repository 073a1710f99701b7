"""The misc family."""
