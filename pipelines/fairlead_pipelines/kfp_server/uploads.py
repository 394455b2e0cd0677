"""Pipelines and their versions on a server: the same package is the same version, however often it is sent."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api as api

from fairlead import __version__
from fairlead.errors import ConfigurationError
from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import CONFLICT, ServerError
from fairlead_pipelines.packages.package import Package

_SHOWN = 12
_EQUALS = "EQUALS"


@dataclass(frozen=True)
class Version:
    """A pipeline's version on a server.

    Attributes:
        pipeline_id: The pipeline.
        version_id: The version.
        name: Its name there.
        uploaded: Whether it was sent now; it had been there otherwise.
    """

    pipeline_id: str
    version_id: str
    name: str
    uploaded: bool


def upload(server: Server, package: Package, name: str = "") -> Version:
    """Sends a package, unless the server has it.

    Args:
        server: The server.
        package: The package; its digest stands in the version's description and, by default, in its name.
        name: The version's name.

    Returns:
        The version.

    Raises:
        ConfigurationError: The name is taken by another package.
        ServerError: The server refuses.
    """
    pipeline = find_pipeline(server, package.name) or _create(server, package)
    wanted = name or f"{__version__}-{package.digest[:_SHOWN]}"
    found = _version(server, pipeline.pipeline_id, wanted)
    if found is None:
        try:
            sent = _send(server, package, pipeline.pipeline_id, wanted)
        except ServerError as error:
            found = _version(server, pipeline.pipeline_id, wanted)  # another was faster, or the answer got lost
            if found is None:
                raise
            if error.status not in {0, CONFLICT} and not error.status >= 500:  # noqa: PLR2004 - the server's failures
                raise
        else:
            return Version(pipeline.pipeline_id, sent.pipeline_version_id, wanted, uploaded=True)
    if _stamp(package) not in (found.description or ""):
        raise ConfigurationError(
            f"version {wanted!r} of {package.name} on {server.uri} holds another package; give --version another name, "
            "or leave it out: versions are then named by their content"
        )
    return Version(pipeline.pipeline_id, found.pipeline_version_id, wanted, uploaded=False)


def find_pipeline(server: Server, name: str) -> Any:
    """The pipeline of a name, or None."""
    listed = server.ask(
        "looking for the pipeline",
        server.pipelines.pipeline_service_list_pipelines,
        filter=equals("display_name", name),
        page_size=2,
        **server.scope,
    )
    return (listed.pipelines or [None])[0]


def equals(key: str, value: str) -> str:
    """The filter of a listing for one value."""
    return json.dumps({"predicates": [{"operation": _EQUALS, "key": key, "stringValue": value}]})


def _create(server: Server, package: Package) -> Any:
    description = str(package.spec.pipeline_info.description)
    body = api.V2beta1Pipeline(
        display_name=package.name, name=package.name, description=description, namespace=server.namespace
    )
    try:
        return server.ask("creating the pipeline", server.pipelines.pipeline_service_create_pipeline, pipeline=body)
    except ServerError:
        found = find_pipeline(server, package.name)  # another was faster, or the answer got lost
        if found is None:
            raise
        return found


def _version(server: Server, pipeline_id: str, name: str) -> Any:
    listed = server.ask(
        "looking for the version",
        server.pipelines.pipeline_service_list_pipeline_versions,
        pipeline_id,
        filter=equals("display_name", name),
        page_size=2,
    )
    return (listed.pipeline_versions or [None])[0]


def _send(server: Server, package: Package, pipeline_id: str, name: str) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{package.name}.yaml"  # the server tells the format by the ending
        package.write(file)
        return server.ask(
            "uploading the package",
            server.uploads.upload_pipeline_version,
            str(file),
            name=name,
            display_name=name,
            description=f"{_stamp(package)}\nfairlead {__version__}",
            pipelineid=pipeline_id,
        )


def _stamp(package: Package) -> str:
    return f"package sha256:{package.digest}"
