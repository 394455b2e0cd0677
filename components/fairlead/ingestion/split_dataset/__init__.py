"""Divides a dataset into train, validation and test."""
