"""What an overlay says: the Kubernetes configuration that a place wants for the steps of pipelines, as typed YAML."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import ConfigurationError, nearest
from fairlead.sections import Section
from fairlead_pipelines.packages.families import COMPONENTS, STAGES, ServiceAccounts
from fairlead_pipelines.packages.quantities import cores, size

OVERLAYS = Path(__file__).parents[1] / "overlays"
EVERY = "*"

ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Folder = Annotated[str, Field(pattern=r"^/[^:]+$")]


class Source(Section):
    """What a step takes of a Secret or ConfigMap: keys as variables, all keys as files, or both.

    Attributes:
        env: Variables by key; a list of keys takes each under its own name. The pod waits until all keys are there.
        optional_env: The same for keys that may be absent; their variables are then not set.
        mount: The folder at which each key becomes a file.
        optional: The pod starts even where the object is absent.
    """

    env: dict[str, Variable] = Field(default_factory=dict)
    optional_env: dict[str, Variable] = Field(default_factory=dict)
    mount: Folder | None = None
    optional: bool = False

    @field_validator("env", "optional_env", mode="before")
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        return {str(key): str(key) for key in value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.env and not self.optional_env and not self.mount:
            raise ValueError("say what of it the step gets: `env` or `optional_env` (keys), or `mount` (a folder)")
        return self


class Claim(Section):
    """Where an existing PersistentVolumeClaim is mounted."""

    mount: Folder
    sub_path: str = ""


class Scratch(Section):
    """Room for temporary files.

    Attributes:
        mount: The folder.
        size: The largest size, such as 20Gi; with `storage_class`, the volume's size.
        storage_class: A class of volumes, "" for the cluster's own default; the node's disk (emptyDir) where it is
            not set. A fresh volume belongs to root on most classes, and our images do not run as root: only classes
            whose volumes anybody may write to will do.
        memory: Keep it in memory; it then counts against the memory limit.
    """

    mount: Folder = "/scratch"
    size: str
    storage_class: str | None = None
    memory: bool = False

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: str) -> str:
        size(value)
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.memory and self.storage_class is not None:
            raise ValueError("scratch is either in memory or on a volume; leave out `memory` or `storage_class`")
        return self


class Cpu(Section):
    """Cores, such as 2 or 500m."""

    request: str = ""
    limit: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _ordered(self.request, self.limit, cores)
        return self


class Memory(Section):
    """Bytes, such as 512Mi or 4Gi."""

    request: str = ""
    limit: str = ""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _ordered(self.request, self.limit, size)
        return self


class Gpu(Section):
    """Accelerators: the extended resource that the node offers, and how many of it."""

    resource: str = Field(default="nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")
    count: int = Field(default=1, ge=1, le=64)


class Toleration(Section):
    """A taint that the pod bears."""

    key: str = ""
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _as_kubernetes_takes_it(self) -> Self:
        if self.operator == "Exists" and self.value:
            raise ValueError("a toleration with operator Exists has no value")
        if not self.key and self.operator != "Exists":
            raise ValueError("a toleration without a key needs operator Exists: it then bears every taint")
        return self


class Retries(Section):
    """How often a failed step is tried again, and how long to wait before."""

    times: int = Field(ge=0, le=100)
    wait_seconds: int = Field(default=30, ge=0)
    factor: float = Field(default=2.0, ge=1)
    longest_seconds: int = Field(default=3600, ge=1)


class RunAs(Section):
    """Who the process is; KFP 2.17 and newer. What the platform's administrator set counts more."""

    user: int | None = Field(default=None, ge=1)
    group: int | None = Field(default=None, ge=1)
    non_root: bool | None = None


class Options(Section):
    """The configuration of one component's pods.

    Of `env`, `secrets`, `config_maps`, `claims`, `node_selector`, `labels` and `annotations`, a null takes away what a
    wider entry gives.

    Attributes:
        caching: `false` repeats the step in every run. What a pipeline does not cache stays so: it acts on the outside.
        timeout_seconds: After which the pod is killed.
    """

    env: dict[Variable, str | None] = Field(default_factory=dict)
    secrets: dict[ObjectName, Source | None] = Field(default_factory=dict)
    config_maps: dict[ObjectName, Source | None] = Field(default_factory=dict)
    claims: dict[ObjectName, Claim | None] = Field(default_factory=dict)
    scratch: Scratch | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    gpu: Gpu | None = None
    tolerations: list[Toleration] = Field(default_factory=list)
    node_selector: dict[str, str | None] = Field(default_factory=dict)
    retries: Retries | None = None
    caching: bool | None = None
    timeout_seconds: int | None = Field(default=None, ge=1)
    run_as: RunAs | None = None
    labels: dict[str, str | None] = Field(default_factory=dict)
    annotations: dict[str, str | None] = Field(default_factory=dict)
    pull_secrets: list[ObjectName] = Field(default_factory=list)
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None

    @field_validator("caching")
    @classmethod
    def _never_on(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("caching can only be turned off here; pipelines decide what may be reused")
        return value

    def over(self, wider: "Options") -> "Options":
        """This narrower entry over a wider one: maps are merged, lists added, the rest replaced."""
        merged = {name: _merged(getattr(wider, name), getattr(self, name)) for name in self.model_fields_set}
        return wider.model_copy(update=merged)


class Overlay(Section):
    """An overlay.

    Attributes:
        registry: The prefix of our images, where neither the command nor the settings name one.
        service_accounts: The accounts of runs, by what a run does.
        components: Options by component, by stage (`evaluation`), or for all (`*`); the narrower counts more.
    """

    registry: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._:/-]*[a-z0-9])?$")
    service_accounts: ServiceAccounts = Field(default_factory=ServiceAccounts)
    components: dict[str, Options] = Field(default_factory=dict)

    def options(self, component: str) -> Options:
        """What this overlay says of a component, from all entries that concern it."""
        found = Options()
        for key in (EVERY, COMPONENTS.get(component, ""), component):
            if key in self.components:
                found = self.components[key].over(found)
        return found

    def check_names(self, others: Iterable[str]) -> None:
        """Refuses entries for what is no component, here or in the package.

        Args:
            others: The package's own components.

        Raises:
            ConfigurationError: An entry concerns nothing; the nearest right name is given.
        """
        known = {EVERY, *STAGES, *COMPONENTS, *others}
        for key in self.components:
            if key not in known:
                raise ConfigurationError(f"components.{key}: there is no such component; {nearest(key, known)}")


def names() -> list[str]:
    """The overlays that come with fairlead."""
    return sorted(file.stem for file in OVERLAYS.glob("*.yaml"))


def load_overlay(name: str) -> Overlay:
    """Reads an overlay.

    Args:
        name: One of `names()`, or a YAML file.

    Returns:
        The overlay.

    Raises:
        ConfigurationError: There is none, or a key or value in it is not allowed.
    """
    import yaml

    file = OVERLAYS / f"{name}.yaml" if name in names() else Path(name)
    if not file.is_file():
        raise ConfigurationError(
            f"there is no overlay {name!r}; give the path of a YAML file, or {nearest(name, names())}"
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigurationError(f"overlay {file} cannot be read as YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise ConfigurationError(f"overlay {file} holds no keys; allowed: {', '.join(Overlay.model_fields)}")
    return Overlay.parse(content, file.name)


def _merged(wider: Any, narrower: Any) -> Any:
    if isinstance(narrower, dict):
        return {**wider, **narrower}
    if isinstance(narrower, list):
        return [*wider, *(entry for entry in narrower if entry not in wider)]
    return narrower


def _ordered(request: str, limit: str, measure: Any) -> None:
    """Kubernetes refuses a pod that asks for more than its limit; say so before."""
    asked, most = (measure(text) if text else None for text in (request, limit))
    if asked is not None and most is not None and asked > most:
        raise ValueError(f"the request ({request}) is above the limit ({limit})")
