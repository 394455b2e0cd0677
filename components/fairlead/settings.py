"""Settings of one place where fairlead runs: the environment (FAIRLEAD_…) first, then `fairlead.toml`."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from fairlead.errors import ConfigurationError, nearest

FILE = "fairlead.toml"


class Settings(BaseSettings):
    """Where things are and where servers listen.

    Attributes:
        home: The folder of all local state; made absolute against the working folder.
        host: The address that servers bind to.
        serving_port: The port on which all models serve.
        tracking_uri: MLflow's tracking address, and the registry's where `registry_uri` is unset.
        tracking: Whether trainings are tracked in MLflow.
        energy: Whether the energy of trainings is measured.
        registry_uri: The registry: MLflow (sqlite:///…, http…) or Kubeflow Model Registry
            (model-registry+https://host:port); by default `tracking_uri`, or SQLite under `home`.
        registry_token: What the registry's server demands.
        registry_token_file: A file that holds it, read anew each time: Kubernetes replaces such tokens.
        signing_key: The private key (PEM file) with which verdicts made here are signed; none are where it is unset.
        signing_name: The name by which policies know that key; by default the file's.
        trust_file: Public keys by name (YAML) that count here, in place of those that policies bring.
        policy_digest: The one policy by which models are registered and deployed here; any where it is unset.
        policy_trust_file: Public keys by name (YAML) of those who may sign policies; where it is set, a policy that
            none of them signed is refused.
        platform: Where components act: on this machine, or on the Kubernetes cluster (`kubeflow`, as in the images).
        namespace: The Kubernetes namespace; by default the pod's own, else the kubeconfig context's.
        kube_context: The kubeconfig's context; by default its current one. Inside a pod its service account counts.
        object_store: s3://BUCKET/PREFIX where packages and checkpoints are kept; folders under `home` where unset.
        s3_endpoint: http(s)://HOST:PORT of what speaks S3. Credentials come from AWS_ACCESS_KEY_ID and the like.
        s3_ca_file: Certificates (PEM) with which that endpoint is verified, beside those that the system trusts.
        feature_registry: s3://BUCKET/KEY of Feast's registry; a file in the feature store's folder where unset.
        redis: Feast's online store, as Feast writes it: HOST:PORT[,ssl=true,password=…]; SQLite where unset.
        serving_mode: How KServe serves: found by probing, or one of its modes.
        gateway: NAMESPACE/NAME of the Gateway to which HTTPRoutes attach; KServe's own where unset.
        gateway_url: http(s)://HOST[:PORT] at which this process reaches the gateway; by default its Service.
        prometheus_uri: Where the cluster's metrics are asked for.
        image_registry: The prefix of image names in compiled packages and in what is created on the cluster.
        kfp_uri: The address of Kubeflow Pipelines.
        kfp_namespace: The profile's namespace, on a KFP with several users.
        kfp_token_file: A file that holds a bearer token for it, read anew each time.
        kfp_ca_file: Certificates (PEM) with which it is verified, in place of those that the system trusts.
    """

    model_config = SettingsConfigDict(env_prefix="FAIRLEAD_", toml_file=FILE, extra="forbid", frozen=True)

    home: Path = Path(".fairlead")
    host: str = "127.0.0.1"
    serving_port: int = Field(default=8080, ge=1, le=65535)
    tracking_uri: str = ""
    tracking: bool = True
    energy: bool = True
    registry_uri: str = ""
    registry_token: SecretStr = SecretStr("")
    registry_token_file: Path | None = None
    signing_key: Path | None = None
    signing_name: str = Field(default="", max_length=100)
    trust_file: Path | None = None
    policy_digest: str = Field(
        default="",
        pattern=r"^(sha256:[0-9a-f]{64})?$",
        examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    policy_trust_file: Path | None = None
    platform: Literal["laptop", "kubeflow"] = "laptop"
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$", examples=["team-a"])
    kube_context: str = ""
    object_store: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/?#]+)*/?)?$",
        examples=["s3://fairlead/team-a"],
    )
    s3_endpoint: str = Field(
        default="https://s3.amazonaws.com", pattern=r"^https?://[^/?#]+/?$", examples=["https://minio.example.org:9000"]
    )
    s3_ca_file: Path | None = None
    feature_registry: str = Field(default="", pattern=r"^(s3://.+/.+)?$", examples=["s3://fairlead/feast/registry.db"])
    redis: SecretStr = SecretStr("")
    serving_mode: Literal["auto", "knative", "standard"] = "auto"
    gateway: str = Field(default="", pattern=r"^([a-z0-9-]+/[a-z0-9.-]+)?$", examples=["kserve/kserve-ingress-gateway"])
    gateway_url: str = Field(default="", pattern=r"^(https?://[^/?#]+/?)?$", examples=["https://gateway.example.org"])
    prometheus_uri: str = Field(default="", pattern=r"^(https?://.+)?$", examples=["http://prometheus.monitoring:9090"])
    image_registry: str = Field(
        default="", pattern=r"^([a-z0-9][a-z0-9._:/-]*[a-z0-9])?$", examples=["registry.example.org/fairlead"]
    )
    kfp_uri: str = Field(default="", pattern=r"^(https?://.+)?$", examples=["https://kubeflow.example.org/pipeline"])
    kfp_namespace: str = ""
    kfp_token_file: Path | None = None
    kfp_ca_file: Path | None = None

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

    @field_validator(
        "signing_key",
        "trust_file",
        "policy_trust_file",
        "registry_token_file",
        "s3_ca_file",
        "kfp_token_file",
        "kfp_ca_file",
    )
    @classmethod
    def _of_home(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @model_validator(mode="after")
    def _one_registry(self) -> Self:
        found = self.registry_uri or self.tracking_uri or f"sqlite:///{self.registry_home / 'mlflow.db'}"
        object.__setattr__(self, "registry_uri", found)  # the model is frozen for everybody else
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no .env and no secret files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def registry_home(self) -> Path:
        """The folder of registered packages, their verdicts and the SQLite registry."""
        return self.home / "registry"

    @property
    def platform_home(self) -> Path:
        """The folder of the laptop platform: its state, socket and logs."""
        return self.home / "platform"

    def read_registry_token(self) -> str:
        """What the registry's server demands; empty if nothing is set.

        Raises:
            ConfigurationError: The file that is to hold it cannot be read.
        """
        if self.registry_token_file is None:
            return self.registry_token.get_secret_value()
        try:
            return self.registry_token_file.read_text().strip()
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"setting registry_token_file: {error}; name the file that holds the registry's token, or unset it"
            ) from None

    @property
    def work_home(self) -> Path:
        """The folder of work under way, from which a task that was killed goes on."""
        return self.home / "work"

    def features_home(self, problem: str) -> Path:
        """The folder of a problem's feature store."""
        return self.home / "features" / problem

    def predictions_home(self, name: str) -> Path:
        """The folder of a service's prediction and feedback logs."""
        return self.home / "predictions" / name

    def runs_home(self, pipeline: str) -> Path:
        """The folder of a pipeline's runs."""
        return self.home / "runs" / pipeline


def settings() -> Settings:
    """Reads the settings as they are now.

    Returns:
        The settings.

    Raises:
        ConfigurationError: The file or the environment holds a key or value that is not allowed.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(dict(entry)) for entry in error.errors())) from None
    except ValueError as error:
        raise ConfigurationError(f"{FILE} is not readable as TOML: {error}") from None


def _explain(entry: dict[str, object]) -> str:
    location = entry["loc"]
    key = str(location[-1]) if isinstance(location, tuple) and location else "?"
    if entry["type"] == "extra_forbidden":
        return f"{FILE}: there is no setting {key!r}; {nearest(key, Settings.model_fields)}"
    told = entry["msg"]
    if entry["type"] == "string_pattern_mismatch":
        told = f"write it like {(Settings.model_fields[key].examples or ['?'])[0]}"
    return f"setting {key} (FAIRLEAD_{key.upper()} or {FILE}): {told} (got {entry['input']!r})"
