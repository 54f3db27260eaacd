"""Data: sources, preparation, the plan and compact batches."""
