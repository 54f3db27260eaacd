"""Loss functions, each with its equation."""
