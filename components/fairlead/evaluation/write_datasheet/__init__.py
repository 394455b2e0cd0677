"""Writes a datasheet from what a dataset holds."""
