"""Ingestion: data comes in, is checked, and is split."""
