"""Registers a model that has every verdict that the policy demands."""
