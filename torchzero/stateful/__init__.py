"""The stateful family."""
