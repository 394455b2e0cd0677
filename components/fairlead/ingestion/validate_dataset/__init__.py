"""Checks a dataset against what is expected of it."""
