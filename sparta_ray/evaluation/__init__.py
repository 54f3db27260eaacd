"""Scores, baselines, figures and the report."""
