"""From a pipeline's name to the package that a place runs: compiled, images placed, configured, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairlead.settings import settings
from fairlead_pipelines import catalog
from fairlead_pipelines.packages.checks import refuse_defects
from fairlead_pipelines.packages.families import account_for, roles
from fairlead_pipelines.packages.images import with_registry
from fairlead_pipelines.packages.options import with_overlay
from fairlead_pipelines.packages.overlay import Overlay, load_overlay
from fairlead_pipelines.packages.package import Package, build


@dataclass(frozen=True)
class Compiled:
    """A package that is ready to be sent.

    Attributes:
        source: The pipeline.
        package: Its package.
        registry: The prefix of its images; empty if they have none.
        service_account: The account that its runs need; empty for KFP's default.
        roles: What its runs do on the cluster: some of tuning, training, deployment.
    """

    source: catalog.PipelineSource
    package: Package
    registry: str
    service_account: str
    roles: list[str]


def compile_for(
    name: str, overlay: str = "", registry: str | None = None, pins: Mapping[str, str] | None = None
) -> Compiled:
    """Compiles a pipeline for a place.

    Args:
        name: A pipeline's name or path.
        overlay: An overlay's name or file; none if empty.
        registry: The prefix of our images; by default the setting `image_registry`, then the overlay's.
        pins: The exact images that steps run in, from `image.read_pins`.

    Returns:
        The package and what its runs need.

    Raises:
        ConfigurationError: There is no such pipeline or overlay, or the package would break on Kubeflow Pipelines.
    """
    source = catalog.find(name)
    wanted = load_overlay(overlay) if overlay else Overlay()
    prefix = registry if registry is not None else settings().image_registry or wanted.registry
    package = with_registry(build(source), prefix.rstrip("/"), pins)
    if overlay:
        package = with_overlay(package, wanted)
    refuse_defects(package)
    account = account_for(package.components, wanted.service_accounts)
    return Compiled(source, package, prefix, account, roles(package.components))


def file_name(source: catalog.PipelineSource) -> str:
    """What a pipeline's package is called: its name, or that of the user's file."""
    return f"{source.name if source.name in catalog.names() else source.module.stem}.yaml"


def folder_for(overlay: str, output: Path | None) -> Path:
    """Where packages are written: where the user says, or beside the compiled ones of fairlead itself."""
    if output:
        return output
    return catalog.COMPILED / Path(overlay).stem if overlay else catalog.COMPILED
