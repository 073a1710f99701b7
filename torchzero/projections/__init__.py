"""The projections family."""
