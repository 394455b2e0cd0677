"""Writes a model card from what was measured."""
