"""The linalg family."""
