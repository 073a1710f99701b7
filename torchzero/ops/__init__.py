"""The ops family."""
