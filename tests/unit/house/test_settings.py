"""Settings come from the environment first, then from fairlead.toml; a wrong key is answered with the right one."""

from pathlib import Path

import pytest

from fairlead.errors import ConfigurationError
from fairlead.settings import Settings, settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no setting in the environment."""
    monkeypatch.delenv("FAIRLEAD_HOME")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_live_below_the_working_folder(folder: Path) -> None:
    """With nothing set, state is in .fairlead here, on loopback, port 8080."""
    here = settings()
    assert (here.home, here.host, here.serving_port) == (folder / ".fairlead", "127.0.0.1", 8080)
    assert here.registry_uri == f"sqlite:///{folder}/.fairlead/registry/mlflow.db"
    assert here.features_home("flights") == folder / ".fairlead" / "features" / "flights"
    assert here.predictions_home("flights") == folder / ".fairlead" / "predictions" / "flights"


def test_environment_comes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value in the environment wins over the file's; what it leaves out the file gives."""
    (folder / "fairlead.toml").write_text('home = "state"\nserving_port = 9000\n')
    monkeypatch.setenv("FAIRLEAD_SERVING_PORT", "9001")
    assert (settings().home, settings().serving_port) == (folder / "state", 9001)


def test_settings_are_read_at_each_call(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered between calls: a changed environment counts at once, and home is absolute."""
    assert settings().home == folder / ".fairlead"
    monkeypatch.setenv("FAIRLEAD_HOME", "elsewhere")
    assert settings().home == folder / "elsewhere"


def test_unknown_key_gets_the_nearest_right_one(folder: Path) -> None:
    """A misspelt key in the file is refused, and the error names the key that was meant."""
    (folder / "fairlead.toml").write_text("serving_prot = 9000\n")
    with pytest.raises(ConfigurationError, match="did you mean 'serving_port'"):
        settings()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("serving_port = 70000\n", "FAIRLEAD_SERVING_PORT"), ("serving_port = \n", "not readable as TOML")],
)
def test_wrong_value_is_refused_in_words(folder: Path, content: str, complaint: str) -> None:
    """A value out of range and a file that is no TOML are errors of configuration that say where."""
    (folder / "fairlead.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=complaint):
        settings()


PATTERNED = {
    name: [one.pattern for one in field.metadata if getattr(one, "pattern", None)]
    for name, field in Settings.model_fields.items()
}


@pytest.mark.parametrize("name", [name for name, patterns in PATTERNED.items() if patterns])
def test_a_value_of_another_shape_is_answered_by_one_of_the_right_shape(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nobody is shown a regular expression; what is shown instead is allowed."""
    monkeypatch.setenv(f"FAIRLEAD_{name.upper()}", "/?#")
    with pytest.raises(ConfigurationError, match=f"{name}.*write it like") as refused:
        settings()
    shown = str(refused.value).partition("write it like ")[2].partition(" (got")[0]
    monkeypatch.setenv(f"FAIRLEAD_{name.upper()}", shown)
    assert shown in str(getattr(settings(), name))
