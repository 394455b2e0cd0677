"""Settings of one place where fairlead runs: the environment (FAIRLEAD_…) first, then `fairlead.toml`."""

from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from fairlead.errors import ConfigurationError, nearest

FILE = "fairlead.toml"


class Settings(BaseSettings):
    """Where things are and where servers listen.

    Attributes:
        home: The folder of all local state; made absolute against the working folder.
        host: The address that servers bind to.
        serving_port: The port on which all models serve.
        tracking_uri: MLflow's tracking and registry address; by default SQLite under `home`.
    """

    model_config = SettingsConfigDict(env_prefix="FAIRLEAD_", toml_file=FILE, extra="forbid", frozen=True)

    home: Path = Path(".fairlead")
    host: str = "127.0.0.1"
    serving_port: int = Field(default=8080, ge=1, le=65535)
    tracking_uri: str = ""

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().resolve()

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
    def registry_uri(self) -> str:
        """MLflow's address: `tracking_uri`, or SQLite under `home`."""
        return self.tracking_uri or f"sqlite:///{self.registry_home / 'mlflow.db'}"

    @property
    def registry_home(self) -> Path:
        """The folder of registered packages, their verdicts and the SQLite registry."""
        return self.home / "registry"

    @property
    def platform_home(self) -> Path:
        """The folder of the laptop platform: its state, socket and logs."""
        return self.home / "platform"

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
    return f"setting {key} (FAIRLEAD_{key.upper()} or {FILE}): {entry['msg']} (got {entry['input']!r})"
