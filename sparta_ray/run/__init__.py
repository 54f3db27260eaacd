"""A run: its settings, what they imply, and who owns its folder."""
