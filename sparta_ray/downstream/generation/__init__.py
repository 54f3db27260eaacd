"""Generated embeddings, conditioned on masked days."""
