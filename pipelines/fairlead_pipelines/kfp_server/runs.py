"""Runs on a server: experiments, starting a run exactly once, and how far it is."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import kfp_server_api as api

from fairlead.errors import ConfigurationError
from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import NOT_FOUND, ServerError, is_transient
from fairlead_pipelines.kfp_server.uploads import Version, equals

ENDED = frozenset({"SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"})
_LONGEST_NAME = 128
_PAUSE_SECONDS = 2.0  # before a run is asked for again


@dataclass(frozen=True)
class Order:
    """What is to run.

    Attributes:
        version: The uploaded package.
        arguments: Values of the pipeline's parameters.
        name: What the run is called.
        experiment_id: The experiment that it belongs to.
        service_account: The account of all its pods; KFP's default if empty.
        pipeline_root: Where its artifacts go; KFP's default if empty.
    """

    version: Version
    arguments: Mapping[str, Any]
    name: str
    experiment_id: str
    service_account: str = ""
    pipeline_root: str = ""

    def reference(self) -> Any:
        """The version, as the API wants it."""
        return api.V2beta1PipelineVersionReference(
            pipeline_id=self.version.pipeline_id, pipeline_version_id=self.version.version_id
        )

    def configuration(self) -> Any:
        """The arguments, as the API wants them."""
        root = {"pipeline_root": self.pipeline_root} if self.pipeline_root else {}
        return api.V2beta1RuntimeConfig(parameters=dict(self.arguments), **root)


def experiment(server: Server, name: str) -> str:
    """The id of an experiment; one that is not there yet is made.

    Args:
        server: The server.
        name: Its name.
    """
    found = _experiment(server, name)
    if found:
        return found
    body = api.V2beta1Experiment(display_name=name, namespace=server.namespace)
    try:
        made = server.ask(
            "creating the experiment", server.experiments.experiment_service_create_experiment, experiment=body
        )
    except ServerError:
        found = _experiment(server, name)  # another was faster, or the answer got lost
        if not found:
            raise
        return found
    return str(made.experiment_id)


def _experiment(server: Server, name: str) -> str:
    listed = server.ask(
        "looking for the experiment",
        server.experiments.experiment_service_list_experiments,
        filter=equals("display_name", name),
        page_size=2,
        **server.scope,
    )
    return str(listed.experiments[0].experiment_id) if listed.experiments else ""


def run_name(pipeline: str) -> str:
    """A name for a run: the pipeline and the moment."""
    return f"{pipeline} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def start(server: Server, order: Order) -> str:
    """Starts a run, once: where the server's answer gets lost, the run is looked for before it is asked for again.

    Args:
        server: The server.
        order: What is to run.

    Returns:
        The run's id.

    Raises:
        ServerError: The server refuses.
    """
    if len(order.name) > _LONGEST_NAME:
        raise ConfigurationError(f"the run's name has {len(order.name)} characters; at most {_LONGEST_NAME}")
    mark = secrets.token_hex(8)
    body = api.V2beta1Run(
        display_name=order.name,
        description=f"fairlead submission {mark}",
        experiment_id=order.experiment_id,
        pipeline_version_reference=order.reference(),
        runtime_config=order.configuration(),
        **({"service_account": order.service_account} if order.service_account else {}),
    )
    for attempt in (1, 2, 3):
        try:
            made = server.ask("starting the run", server.runs.run_service_create_run, run=body, again=False)
        except ServerError as error:
            if not is_transient(error):
                raise
            found = _marked(server, order, mark)
            if found:
                return found
            if attempt == 3:  # noqa: PLR2004 - the last
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return str(made.run_id)
    raise AssertionError("unreachable")  # the last attempt returns or raises


def _marked(server: Server, order: Order, mark: str) -> str:
    """The id of the run that carries our mark, if it was started although we never heard."""
    listed = server.ask(
        "looking for the run",
        server.runs.run_service_list_runs,
        experiment_id=order.experiment_id,
        filter=equals("display_name", order.name),
        sort_by="created_at desc",
        page_size=50,
    )
    found = [run for run in listed.runs or [] if mark in (run.description or "")]
    return str(found[0].run_id) if found else ""


def get(server: Server, run_id: str) -> Any:
    """A run as it stands.

    Raises:
        ServerError: There is none, or the server refuses.
    """
    try:
        return server.ask("looking at the run", server.runs.run_service_get_run, run_id)
    except ServerError as error:
        if error.status == NOT_FOUND:
            raise ServerError(
                f"{server.uri} knows no run {run_id}; it was deleted, or belongs to another Kubeflow Pipelines",
                NOT_FOUND,
            ) from None
        raise


def find(server: Server, text: str) -> str:
    """The id of the run that a user means.

    Args:
        server: The server.
        text: A run's id, or its name; of several runs of one name the latest.

    Raises:
        ServerError: There is none.
    """
    listed = server.ask(
        "looking for the run",
        server.runs.run_service_list_runs,
        filter=equals("display_name", text),
        sort_by="created_at desc",
        page_size=1,
        **server.scope,
    )
    return str(listed.runs[0].run_id) if listed.runs else str(get(server, text).run_id)


def specification_of(server: Server, run_id: str) -> dict[str, Any]:
    """The pipeline specification of a run.

    Raises:
        ServerError: The run, or the version that it runs, is not there.
    """
    run = get(server, run_id)
    content = run.pipeline_spec
    reference = run.pipeline_version_reference
    if not content and reference:
        version = server.ask(
            "looking at the pipeline's version",
            server.pipelines.pipeline_service_get_pipeline_version,
            reference.pipeline_id,
            reference.pipeline_version_id,
        )
        content = version.pipeline_spec
    found = dict(content or {})
    return dict(found.get("pipeline_spec") or found)  # with settings for Kubernetes, both stand side by side
