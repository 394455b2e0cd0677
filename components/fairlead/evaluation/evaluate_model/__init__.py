"""Judges a model by itself, on rows that its training never saw."""
