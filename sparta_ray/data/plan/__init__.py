"""The plan: every random choice of a run, as a pure function of seed and epoch."""
