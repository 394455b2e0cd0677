"""The program that builds and pushes images, run as a process against tools that write down how they were called."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead import __version__, image
from fairlead.errors import ConfigurationError

DIGEST = f"sha256:{'ab' * 32}"
TOOL = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
with pathlib.Path({log!r}).open("a") as log:
    log.write(json.dumps(["{name}", *words]) + "\\n")
if words[0] == "pull" and {offline}:
    sys.exit("connection refused")
if words[0] == "build" and {broken}:
    sys.exit("line before\\nno space left on device")
if words[0] == "push" and "--digestfile" in words:
    pathlib.Path(words[words.index("--digestfile") + 1]).write_text("{digest}")
print('{{"components": [{{"name": "numpy"}}]}}' if "cat" in words else "{digest}")
"""


@dataclass(frozen=True)
class Tree:
    """A copy of what the program reads, with tools of its own.

    Attributes:
        root: The copy.
        tools: The folder of the tools.
        calls: What the tools were called with.
    """

    root: Path
    tools: Path

    @property
    def calls(self) -> list[list[str]]:
        log = self.root / "calls"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def tool(self, name: str, *, offline: bool = False, broken: bool = False) -> None:
        """Put a tool on the program's PATH."""
        text = TOOL.format(
            python=sys.executable,
            log=str(self.root / "calls"),
            name=name,
            digest=DIGEST,
            offline=offline,
            broken=broken,
        )
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def build(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run the program."""
        return subprocess.run(
            [sys.executable, "images/build.py", *words], cwd=self.root, capture_output=True, text=True, check=False,
            env={"PATH": str(self.tools), "HOME": os.environ["HOME"], **environment},
        )  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path, repository: Path) -> Tree:
    """A copy of the sources of images, and an empty PATH."""
    shutil.copytree(repository / "images", tmp_path / "images", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(repository / "setup.py", tmp_path)
    (tmp_path / "tools").mkdir()
    return Tree(tmp_path, tmp_path / "tools")


def test_images_are_built_from_one_pinned_base(tree: Tree) -> None:
    """Each image is tagged with the version, stands on the base's digest of now, and says what it was made of."""
    tree.tool("docker")
    ended = tree.build("base", "serving", SOURCE_DATE_EPOCH="1700000000")
    assert ended.returncode == 0, ended.stderr
    built = [call for call in tree.calls if call[1] == "build"]
    assert [call[call.index("--tag") + 1] for call in built] == [image.BASE, image.SERVING]
    for call in built:
        assert f"PYTHON_IMAGE=docker.io/library/python:3.11-slim@{DIGEST}" in call
        assert {"CREATED=2023-11-14T22:13:20Z", f"VERSION={__version__}"} <= set(call)
        assert call[-1] == "."
    assert not [call for call in tree.calls if call[1] == "push"]
    bill = tree.root / "build" / f"fairlead-base-{__version__}.cdx.json"
    assert json.loads(bill.read_text())["components"] == [{"name": "numpy"}]


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_a_registry_gets_all_images_and_packages_can_name_them_by_digest(tree: Tree, tool: str) -> None:
    """What was pushed is written down by its digest, for `fairlead compile`: a rebuilt tag never answers for it."""
    tree.tool(tool)
    ended = tree.build("--registry", "registry.example.org/team/", "--tool", tool)
    assert ended.returncode == 0, ended.stderr
    pushed = [call[-1] for call in tree.calls if call[1] == "push"]
    assert pushed == [f"registry.example.org/team/fairlead-{name}:{__version__}" for name in
                      ("base", "training", "serving", "mlflow")]  # fmt: skip
    pins = image.read_pins(tree.root / "build" / "images.json")
    assert image.place(image.TRAINING, "elsewhere", pins) == f"registry.example.org/team/fairlead-training@{DIGEST}"


def test_the_first_tool_that_is_there_is_taken(tree: Tree) -> None:
    """Without docker, podman is asked; with none of them, the program says what to install."""
    assert "no docker, podman, buildah on the PATH" in tree.build("base").stderr
    tree.tool("buildah")
    tree.tool("podman")
    assert tree.build("base").returncode == 0
    assert {call[0] for call in tree.calls} == {"podman"}


def test_a_base_that_no_registry_knows_is_built_upon_as_it_is(tree: Tree) -> None:
    """On a machine without a way to the registry, the base that was loaded from a file serves; the program says so."""
    tree.tool("docker", offline=True)
    ended = tree.build("base", "--python-image", "python:3.11-slim")
    assert "no registry answers for python:3.11-slim" in ended.stdout
    assert any("PYTHON_IMAGE=python:3.11-slim" in call for call in tree.calls)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("nosuch",), "there are base, training, serving, mlflow"), (("--tool", "kaniko"), "no kaniko on the PATH")],
)
def test_wrong_words_are_refused_with_the_right_ones(tree: Tree, words: tuple[str, ...], said: str) -> None:
    """An unknown runtime or tool is answered with what there is."""
    tree.tool("docker")
    ended = tree.build(*words)
    assert ended.returncode != 0
    assert said in ended.stderr
    assert not tree.calls


def test_a_failed_build_shows_its_last_lines(tree: Tree) -> None:
    """The tool's own words are shown, no traceback; nothing is written down as made."""
    tree.tool("docker", broken=True)
    ended = tree.build("base")
    assert "docker build --tag … failed" in ended.stderr
    assert "no space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tree.root / "build" / "images.json").exists()


def test_pruning_spares_what_is_imported(tmp_path: Path, repository: Path) -> None:
    """Tests and headers of libraries go, their modules stay, and a library's second name becomes a link."""
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    kept = ("pandas/core/frame.py", "numpy/testing/__init__.py", "pyarrow/lib.so", "pyarrow/_fs.so")
    gone = ("pandas/tests/a.py", "scipy/stats/tests/b.py", "pyarrow/include/c.h", "pyarrow/libarrow_flight.so.2600")
    for name in (*kept, *gone, "pyarrow/libarrow_python.so", "pyarrow/libarrow_python.so.2600"):
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_bytes(b"x" * 10)
    finish(repository, "prune", tmp_path)
    assert all((packages / name).is_file() for name in kept)
    assert not any((packages / name).exists() for name in gone)
    assert (packages / "pyarrow/libarrow_python.so.2600").readlink() == Path("libarrow_python.so")


@pytest.mark.parametrize(("budget", "fits"), [(3, True), (2, False)])
def test_an_image_over_its_budget_is_not_built(tmp_path: Path, repository: Path, budget: int, fits: bool) -> None:
    """The sizes of the parts are added up and held against the budget; over it, the build ends with the figures."""
    for name, megabytes in (("base", 1), ("libraries", 1.5)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "file").write_bytes(b"x" * int(megabytes * 1_000_000))
        (folder / "same").hardlink_to(folder / "file")
        (folder / "link").symlink_to("file")
        finish(repository, "size", tmp_path / f"{name}.bytes", folder)
    parts = [tmp_path / f"{name}.bytes" for name in ("base", "libraries")]
    ended = finish(repository, "measure", budget, *parts, check=False)
    assert (ended.returncode == 0) is fits
    assert "3 MB: base 1, libraries 2" in ended.stdout + ended.stderr


def finish(repository: Path, *words: object, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run the steps of a build that are a program."""
    command = [sys.executable, str(repository / "images" / "finish.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=check)


@pytest.mark.parametrize(
    ("reference", "registry", "expected"),
    [
        (image.BASE, "", image.BASE),
        (image.BASE, "registry.example.org/team", f"registry.example.org/team/{image.BASE}"),
        (image.SERVING, "registry.example.org:5000/", f"registry.example.org:5000/{image.SERVING}"),
        ("python:3.11-slim", "registry.example.org", "python:3.11-slim"),
    ],
)
def test_a_registry_is_put_before_our_images_alone(reference: str, registry: str, expected: str) -> None:
    """What contracts name gets the prefix; an image of another make does not."""
    assert image.place(reference, registry) == expected


def test_pins_of_another_version_are_refused(tmp_path: Path) -> None:
    """A file that lacks what contracts of this version name would give stale packages: it says how to mend it."""
    file = tmp_path / "images.json"
    with pytest.raises(ConfigurationError, match="make images"):
        image.read_pins(file)
    file.write_text(json.dumps({"images": {"fairlead-base:0.0.1": f"r/fairlead-base@{DIGEST}"}}))
    with pytest.raises(ConfigurationError, match=rf"no fairlead-base:{__version__}.*but fairlead-base:0\.0\.1"):
        image.read_pins(file)


@pytest.mark.parametrize("runtime", ["base", "training", "serving", "mlflow"])
def test_containerfiles_hold_the_house_rules(runtime: str, repository: Path) -> None:
    """Stages, a base by argument, hashes, a numeric user, labels, a budget, and no image called latest."""
    text = (repository / "images" / runtime / "Containerfile").read_text(encoding="utf-8")
    assert text.count("FROM ${PYTHON_IMAGE}") == 2
    assert "ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim\n" in text
    assert "--require-hashes" in text
    assert "\nUSER 65532:65532\n" in text
    assert "finish.py measure ${BUDGET_MB}" in text
    assert "latest" not in text
    assert f"ARG VERSION={__version__}\n" in text
    for label in ("title", "version", "revision", "source", "licenses", "created", "base.name"):
        assert f"org.opencontainers.image.{label}=" in text


def test_builds_see_sources_and_locks_alone(repository: Path) -> None:
    """The context starts from nothing: no .git, no environment, no state, no tests."""
    lines = [
        line for line in (repository / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"
    ]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert all((repository / name).exists() for name in allowed)
    assert not allowed & {".git", ".venv", ".fairlead", "tests"}


def locked(path: Path) -> set[str]:
    """The names that a lock holds."""
    return {
        line.partition("==")[0].partition("[")[0]
        for line in path.read_text(encoding="utf-8").splitlines()
        if "==" in line
    }


@pytest.mark.parametrize(
    ("file", "lock"),
    [
        ("unneeded.txt", "base-runtime"), ("serving/unneeded.txt", "serving"), ("training/unneeded.txt", "training"),
        ("training/cuda.txt", "training"),
    ],
)  # fmt: skip
def test_what_is_left_out_is_in_the_lock(file: str, lock: str, repository: Path) -> None:
    """A name that no lock holds leaves nothing out: it is misspelt, or it went."""
    text = (repository / "images" / file).read_text(encoding="utf-8")
    names = {line.partition("#")[0].strip() for line in text.splitlines()} - {""}
    assert names <= locked(repository / "requirements" / f"{lock}.lock")


def test_compiled_packages_name_what_was_pushed(tmp_path: Path) -> None:
    """`fairlead compile --images` puts digests into a package; without it the version stands there."""
    pins = {name: f"registry.example.org/{name.partition(':')[0]}@{DIGEST}" for name in image.OURS}
    file = tmp_path / "images.json"
    file.write_text(json.dumps({"images": pins}))
    command = [sys.executable, "-m", "fairlead_pipelines.command.main", "compile", "digits"]
    subprocess.run([*command, "--images", str(file), "--output", str(tmp_path)], check=True, capture_output=True)
    text = (tmp_path / "digits.yaml").read_text(encoding="utf-8")
    assert f"image: {pins[image.BASE]}" in text
    assert f"image: {image.BASE}" not in text
