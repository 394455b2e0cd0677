"""Runs a compiled pipeline on this machine: kfp.local in a process of its own, with resume and events."""
