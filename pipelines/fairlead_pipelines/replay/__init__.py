"""Replays held-out rows as client traffic, in time order: requests, features as they become known, outcomes later."""
