"""Judging models: by themselves, and against the champion."""
