"""Judges the server of a package: does it serve what the package computes, within its budgets, whatever is sent?"""
