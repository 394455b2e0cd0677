"""The images of a package: where they are pulled from."""

from collections.abc import Mapping

from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from fairlead import image
from fairlead_pipelines.packages.package import Package

VARIABLE = "FAIRLEAD_IMAGE_REGISTRY"
_OURS = "fairlead-"


def with_registry(package: Package, prefix: str, pins: Mapping[str, str] | None = None) -> Package:
    """Puts a registry's prefix before the names of our images, or the exact images in their place.

    Steps that create pods of their own (trials, trainings, servers) take their images from the same registry.

    Args:
        package: The package.
        prefix: Such as registry.example.org/team; empty where images have none.
        pins: Exact references by the names that contracts use, from `image.read_pins`; they win over the prefix.

    Returns:
        The package with the images' full names; images of another make keep theirs.
    """
    if not prefix and not pins:
        return package
    deployment = pb.PipelineDeploymentConfig()
    deployment.CopyFrom(package.deployment)
    for executor in deployment.executors.values():
        if executor.WhichOneof("spec") == "container" and executor.container.image.startswith(_OURS):
            container = executor.container
            container.image = image.place(container.image, prefix, pins)
            if prefix:
                set_variable(container, VARIABLE, prefix)
    return package.with_deployment(deployment)


def set_variable(container: pb.PipelineDeploymentConfig.PipelineContainerSpec, name: str, value: str) -> None:
    """Sets an environment variable of a container; an earlier one of that name is replaced."""
    others = [variable for variable in container.env if variable.name != name]
    variable = pb.PipelineDeploymentConfig.PipelineContainerSpec.EnvVar(name=name, value=value)
    del container.env[:]
    container.env.extend([*others, variable])
