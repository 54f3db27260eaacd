"""Scores as pure functions of numbers: errors, ensembles, embedding spaces, uncertainty."""
