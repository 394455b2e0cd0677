"""What a stand-in for Kubeflow Pipelines remembers, and how it refuses; after its sources (2.17.0).

- names of pipelines are unique in a namespace, of versions in a pipeline, of experiments in a namespace
  (AlreadyExists); names of runs and of recurring runs are not;
- a version's package is parsed strictly: schema 2.1.0, known fields only, a name of small letters, digits and '-';
- a run's values are held to the pipeline's parameters: none missing, none too many, each of its type;
- recurring runs cannot be changed, only turned on and off; a new one's status is unspecified until a controller saw it;
- times that are not yet are 1970.
"""

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

NEVER = "1970-01-01T00:00:00Z"
CODES = {3: 400, 5: 404, 6: 409, 7: 403, 9: 400, 13: 500, 14: 503, 16: 401}
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,127}$")
_TYPES: dict[str, Any] = {
    "NUMBER_DOUBLE": (int, float),
    "NUMBER_INTEGER": (int, float),
    "STRING": str,
    "BOOLEAN": bool,
    "LIST": list,
    "STRUCT": dict,
}
_OPERATIONS = {1: "EQUALS", 2: "NOT_EQUALS", 9: "IS_SUBSTRING"}
_KEYS = {
    "pipelines": {"pipeline_id", "id", "name", "display_name", "description", "namespace"},
    "versions": {"pipeline_version_id", "id", "name", "display_name", "description"},
    "experiments": {"experiment_id", "id", "name", "display_name", "description", "namespace", "storage_state"},
    "runs": {
        "run_id", "id", "name", "display_name", "description", "experiment_id", "state", "storage_state", "namespace",
    },
    "recurring": {"recurring_run_id", "id", "name", "display_name", "description"},
}  # fmt: skip


class RefusedError(Exception):
    """A refusal, as gRPC codes tell it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    @property
    def status(self) -> int:
        """The HTTP status that the gateway makes of it."""
        return CODES[self.code]


def now() -> str:
    """This moment, to the second as the database has it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Store:
    """All entities; each a dict as the API sends it.

    Attributes:
        multi_user: Whether namespaces are demanded.
        namespaces: Those that there are.
    """

    multi_user: bool = False
    namespaces: set[str] = field(default_factory=lambda: {"team"})
    pipelines: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    experiments: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    recurring: list[dict[str, Any]] = field(default_factory=list)

    def find(self, table: str, key: str, identity: str) -> dict[str, Any]:
        """An entity by its id."""
        for each in getattr(self, table):
            if each[key] == identity:
                found: dict[str, Any] = each
                return found
        raise RefusedError(5, f"{table.removesuffix('s').capitalize()} {identity} not found")

    def page(self, table: str, query: dict[str, str], only: dict[str, str] | None = None) -> tuple[list[Any], str]:
        """A listing's page, and the token of the next."""
        found = [each for each in getattr(self, table) if all(each.get(k) == v for k, v in (only or {}).items())]
        found = [each for each in found if _matches(table, each, query.get("filter", ""))]
        if query.get("sort_by", "").endswith(" desc"):
            found = found[::-1]
        first, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 20), 200)
        more = str(first + size) if first + size < len(found) else ""
        return found[first : first + size], more

    def namespace(self, asked: str | None, what: str) -> str | None:
        """The namespace of a request, if the server has several users."""
        if not self.multi_user:
            return None
        if not asked:
            raise RefusedError(3, f"{what} cannot have an empty namespace in multi-user mode")
        if asked not in self.namespaces:
            raise RefusedError(
                7, f"User 'user@example.org' is not authorized with reason: (request: namespace={asked})"
            )
        return asked

    def create_pipeline(self, body: dict[str, Any]) -> dict[str, Any]:
        """A pipeline without versions."""
        namespace = self.namespace(body.get("namespace"), "A pipeline")
        name = body.get("name") or body.get("display_name") or ""
        if not _NAME.match(name):
            raise RefusedError(3, "pipeline's name must contain only lowercase alphanumeric characters or '-'")
        if any(each["name"] == name and each.get("namespace") == namespace for each in self.pipelines):
            raise RefusedError(
                6, f"Failed to create a new pipeline. The name {name} already exists. Please specify a new name"
            )
        made = {
            "pipeline_id": str(uuid.uuid4()),
            "name": name,
            "display_name": body.get("display_name") or name,
            "created_at": now(),
        }
        made |= {
            key: value for key, value in (("description", body.get("description")), ("namespace", namespace)) if value
        }
        self.pipelines.append(made)
        return made

    def create_version(self, query: dict[str, str], text: bytes) -> dict[str, Any]:
        """A version from an uploaded package."""
        pipeline = self.find("pipelines", "pipeline_id", query["pipelineid"])
        spec = parse_package(text)
        name = query.get("name") or query.get("display_name") or "package.yaml"
        if any(v["pipeline_id"] == pipeline["pipeline_id"] and v["name"] == name for v in self.versions):
            raise RefusedError(
                6, f"Failed to create a new pipeline version. The name {name} already exist. Specify a new name"
            )
        made = {
            "pipeline_id": pipeline["pipeline_id"], "pipeline_version_id": str(uuid.uuid4()), "name": name,
            "display_name": query.get("display_name") or name, "created_at": now(), "pipeline_spec": spec,
        }  # fmt: skip
        if query.get("description"):
            made["description"] = query["description"]
        self.versions.append(made)
        return made

    def create_experiment(self, body: dict[str, Any]) -> dict[str, Any]:
        """An experiment."""
        namespace = self.namespace(body.get("namespace"), "Experiment")
        name = body.get("display_name") or ""
        if any(each["display_name"] == name and each.get("namespace") == namespace for each in self.experiments):
            raise RefusedError(
                6, f"Failed to create a new experiment. The name {name} already exists. Please specify a new name"
            )
        made = {
            "experiment_id": str(uuid.uuid4()),
            "display_name": name,
            "created_at": now(),
            "storage_state": "AVAILABLE",
        }
        if namespace:
            made["namespace"] = namespace
        self.experiments.append(made)
        return made

    def create_run(self, body: dict[str, Any]) -> dict[str, Any]:
        """A run that waits to begin."""
        made = self._runnable(body, "run_id", "A run")
        made |= {"state": "PENDING", "scheduled_at": now(), "finished_at": NEVER, "storage_state": "AVAILABLE"}
        made["service_account"] = body.get("service_account") or "pipeline-runner"
        self.runs.append(made)
        return made

    def create_recurring(self, body: dict[str, Any]) -> dict[str, Any]:
        """A recurring run."""
        trigger = body.get("trigger") or {}
        cron = (trigger.get("cron_schedule") or {}).get("cron", "")
        if cron and not cron.startswith("@") and len(cron.split()) not in {5, 6}:
            raise RefusedError(
                3, f"Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron): {cron}"
            )
        made = self._runnable(body, "recurring_run_id", "Recurring run")
        kept = ("trigger", "max_concurrency", "no_catchup", "service_account")
        made |= {"updated_at": now(), "status": "STATUS_UNSPECIFIED"} | {k: body[k] for k in kept if k in body}
        self.recurring.append(made)
        return made

    def _runnable(self, body: dict[str, Any], key: str, what: str) -> dict[str, Any]:
        if not body.get("display_name"):
            raise RefusedError(3, "The run name is empty. Please specify a valid name")
        if self.multi_user and not body.get("experiment_id"):
            raise RefusedError(3, "Experiment id can not be empty in multi-user mode")
        experiment = self.find("experiments", "experiment_id", body["experiment_id"])
        self.namespace(experiment.get("namespace"), what)
        reference = body["pipeline_version_reference"]
        version = self.find("versions", "pipeline_version_id", reference["pipeline_version_id"])
        check_values(version["pipeline_spec"], (body.get("runtime_config") or {}).get("parameters") or {})
        kept = ("display_name", "description", "experiment_id", "pipeline_version_reference", "runtime_config")
        return {key: str(uuid.uuid4()), "created_at": now(), **{name: body[name] for name in kept if name in body}}


def parse_package(text: bytes) -> dict[str, Any]:
    """A package as the server parses it; with settings for Kubernetes, both documents side by side."""
    spec, platform = None, None
    for document in yaml.safe_load_all(text):
        try:
            if document and "pipelineInfo" in document:
                spec = json_format.ParseDict(document, pb.PipelineSpec())
            elif document:
                platform = json_format.ParseDict(document, pb.PlatformSpec())
        except json_format.ParseError as error:
            raise RefusedError(3, f"invalid v2 pipeline spec: {error}") from None
    if spec is None:
        raise RefusedError(3, "no pipeline spec is provided")
    if spec.schema_version != "2.1.0" or not _NAME.match(spec.pipeline_info.name):
        raise RefusedError(
            3, f"KFP only supports schema version 2.1.0, but the pipeline spec has {spec.schema_version}"
        )
    content: dict[str, Any] = json_format.MessageToDict(spec)
    if platform is None:
        return content
    beside = json_format.MessageToDict(platform)
    executors = beside["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    for label, settings in executors.items():
        json_format.ParseDict(settings, kubernetes_pb.KubernetesExecutorConfig())
        assert label in content["deploymentSpec"]["executors"], label
    return {"pipeline_spec": content, "platform_spec": beside}


def specification(content: dict[str, Any]) -> dict[str, Any]:
    """The pipeline specification alone."""
    return dict(content.get("pipeline_spec") or content)


def check_values(content: dict[str, Any], values: dict[str, Any]) -> None:
    """Holds a run's values to the pipeline's parameters, in the server's words."""
    known = specification(content)["root"].get("inputDefinitions", {}).get("parameters", {})
    for name, spec in known.items():
        if name not in values:
            if not spec.get("isOptional") and "defaultValue" not in spec:
                raise RefusedError(
                    3, f"parameter {name} is not optional, yet has neither default value nor user provided value"
                )
            continue
        kind, value = spec["parameterType"], values[name]
        if not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise RefusedError(
                3, f"input parameter {name} requires type {kind.lower()}, but the parameter value is not of it"
            )
    extra = sorted(set(values) - set(known))
    if extra:
        raise RefusedError(3, f"parameter(s) provided are not required by pipeline: {', '.join(extra)}")


def _matches(table: str, each: dict[str, Any], text: str) -> bool:
    if not text:
        return True
    for predicate in json.loads(unquote_plus(text))["predicates"]:
        key = predicate["key"]
        if key not in _KEYS[table]:
            raise RefusedError(3, f'no support for filtering on unrecognized field "{key}"')
        wanted = predicate.get("string_value", predicate.get("stringValue"))
        operation = _OPERATIONS.get(predicate["operation"], predicate["operation"])
        value = str(each.get(key, ""))
        if operation not in _OPERATIONS.values():
            raise RefusedError(3, f"failed to parse valid filter from {text!r}")
        if {"EQUALS": value != wanted, "NOT_EQUALS": value == wanted, "IS_SUBSTRING": wanted not in value}[operation]:
            return False
    return True
