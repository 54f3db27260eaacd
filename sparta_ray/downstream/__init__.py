"""Tasks on frozen embeddings: forecast, diffusion, classification."""
