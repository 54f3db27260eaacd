"""Compact batches: built on CPU workers, expanded to views on the training device."""
