"""The locks hold what setup.py asks for, agree with each other, and name no place to fetch from."""

import re
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import fairlead
from fairlead import image

Asked = dict[str, list[Requirement]]

ROOT = Path(__file__).resolve().parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PURPOSES = {"uv", "base", "base-runtime", "training", "serving", "laptop", "dev"}
LINE = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+))?", re.MULTILINE
)


def identify(path: Path) -> str:
    """A test's name for a lock."""
    return path.stem


def versions(name: str) -> dict[str, str]:
    """Package to version in a lock."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    return {canonicalize_name(match["name"]): match["version"] for match in LINE.finditer(text)}


def test_there_is_a_lock_for_every_purpose() -> None:
    """Composing, each runtime, the laptop, the developer and uv itself have one lock each."""
    assert {path.stem for path in LOCKS} == PURPOSES


@pytest.mark.parametrize("path", LOCKS, ids=identify)
def test_lock_names_no_host_and_pins_every_file(path: Path) -> None:
    """A lock works with whatever index the machine has: no address in it; each version comes with its hashes."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|--index|--find-links|--extra-index", text)
    pins = LINE.findall(text)
    assert pins
    assert len(re.findall(r"^[A-Za-z0-9].*\\$\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)) == len(pins)


@pytest.mark.parametrize("path", LOCKS, ids=identify)
def test_locks_agree_on_every_version(path: Path) -> None:
    """What one lock holds in some version no other holds in another: the images run what the laptop ran."""
    laptop, developer = versions("laptop"), versions("dev")
    other = {name: version for name, version in versions(path.stem).items() if version != developer.get(name, version)}
    assert not other
    assert laptop.items() <= developer.items()


@pytest.mark.parametrize("extra", ["", "base-runtime", "training", "serving", "laptop"])
def test_lock_satisfies_setup(extra: str, asked: Asked) -> None:
    """Every requirement of setup.py is met by the lock of its purpose; if not, `make lock` was forgotten."""
    held = versions(extra or "base")
    environment = {name: str(value) for name, value in default_environment().items()}
    for requirement in {*asked[""], *asked[extra]}:
        if requirement.marker is None or requirement.marker.evaluate(environment):
            version = held.get(canonicalize_name(requirement.name), "")
            assert version, f"{requirement} is not in the lock: run `make lock`"
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: locked {version}"


def test_versions_are_one() -> None:
    """The distribution, the package and the images that components name carry one version."""
    assert f'VERSION = "{fairlead.__version__}"' in (ROOT / "setup.py").read_text(encoding="utf-8")
    assert {tag.rpartition(":")[2] for tag in (image.BASE, image.TRAINING, image.SERVING)} == {fairlead.__version__}


@pytest.mark.parametrize("tag", [image.BASE, image.TRAINING, image.SERVING])
def test_image_has_a_containerfile_that_installs_from_its_lock(tag: str) -> None:
    """Every image that a component may name can be built: its Containerfile exists, tags it so, and uses its lock."""
    name = tag.partition(":")[0].removeprefix("fairlead-")
    text = (ROOT / "images" / name / "Containerfile").read_text(encoding="utf-8")
    lock = {"base": "base-runtime"}.get(name, name)
    assert f"-t {tag} " in text
    assert f"-r /locks/{lock}.lock" in text
    assert (ROOT / "requirements" / f"{lock}.lock").exists()
    assert "USER 65532" in text
