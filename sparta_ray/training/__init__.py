"""Stages, the training loop and its state, checkpoints and model cards; without Ray."""
