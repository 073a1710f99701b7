"""The wrappers family."""
