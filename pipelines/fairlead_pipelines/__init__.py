"""Pipelines composed of fairlead's components, and the command `fairlead`."""
