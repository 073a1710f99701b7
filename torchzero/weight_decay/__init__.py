"""The weight decay family."""
