"""Figures: one function each, from arrays to a matplotlib figure."""
