"""Compiled packages for Kubeflow Pipelines: their images, their Kubernetes configuration, their checks."""
