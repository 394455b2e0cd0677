"""fairlead: Kubeflow Pipelines components from raw data to a canaried model."""

__version__ = "0.1.0"
