"""Fetches a registered model by alias, version or digest."""
