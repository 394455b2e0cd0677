"""Judges a model on parts of the rows, and between groups."""
