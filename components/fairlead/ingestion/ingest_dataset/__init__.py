"""Reads a source into a dataset."""
