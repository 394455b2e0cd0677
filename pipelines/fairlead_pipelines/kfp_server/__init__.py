"""Talks to a Kubeflow Pipelines: versions of packages, runs, recurring runs, and what runs left behind."""
