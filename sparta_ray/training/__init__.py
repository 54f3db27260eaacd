"""Stages, the training loop, checkpoints and their Ray Train wiring."""
