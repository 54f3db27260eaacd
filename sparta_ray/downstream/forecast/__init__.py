"""Forecasts from masked days, in embedding space."""
