"""Registered models: packages, their verdicts, and the names that point at them."""
