"""The store: prepared fields on disk, their statistics, readers and writers."""
