"""Judges how many requests a second the server of a package answers in time."""
