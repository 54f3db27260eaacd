"""SPARTA weather embeddings on Ray: sparse fields in, smooth embeddings and forecasts out."""

__version__ = "0.1.0"
