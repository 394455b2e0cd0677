"""The Kubernetes cluster as a place where components act."""
