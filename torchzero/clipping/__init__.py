"""The clipping family."""
