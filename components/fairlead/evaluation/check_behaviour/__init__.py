"""Judges what a model does when its inputs are changed."""
