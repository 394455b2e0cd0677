"""`fairlead doctor`: what is missing to run here, and the one command that mends it."""

import importlib.util
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairlead.errors import FairleadError, StateError
from fairlead.settings import Settings, settings
from fairlead_pipelines.command.checks import Check, check_machine, install, requirements

if TYPE_CHECKING:
    from fairlead.platform.laptop.state import ProcessRecord

_MARKS = {"good": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


@click.command()
@click.argument("name", required=False)
@click.option("--cluster", "on_cluster", is_flag=True, help="Look at the Kubernetes cluster instead of this machine.")
@click.option("--deep", is_flag=True, help="With --cluster: make pods that pull the images and ask the stores.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def command(name: str | None, on_cluster: bool, deep: bool, as_json: bool) -> None:
    """Say what is missing to run here, with the one command that mends it.

    With the NAME of a pipeline (or the path of your own pipeline.py), its problem.yaml and data are looked at too; on a
    cluster, what its components need there. Ends with status 1 if something needed is missing.

    \b
    Examples:
      fairlead doctor
      fairlead doctor flights
      fairlead doctor --cluster
      fairlead doctor --cluster --deep flights
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if deep and not on_cluster:
        raise click.UsageError("--deep makes pods on a cluster: give --cluster too")
    checks = list(_on_cluster(settings(), name, deep=deep) if on_cluster else _checks(settings(), name))
    if as_json:
        click.echo(json.dumps([vars(check) for check in checks], indent=1))
    else:
        _tell(checks)
    if any(check.state == "bad" for check in checks):
        raise SystemExit(1)


def _checks(current: Settings, name: str | None) -> Iterator[Check]:
    yield from check_machine(current)
    if importlib.util.find_spec("psutil"):  # without it the platform cannot run; the packages' check has said so
        yield from check_platform(current)
    if name is not None:
        yield from check_pipeline(name)


def _on_cluster(current: Settings, name: str | None, *, deep: bool) -> Iterator[Check]:
    """Yield what is found of the cluster, for a pipeline if one is named."""
    from fairlead_pipelines import catalog
    from fairlead_pipelines.command.cluster_checks import check_cluster, components_of

    components: set[str] = set()
    if name is not None:
        try:
            source = catalog.find(name)
            components = components_of(catalog.load(source).pipeline_spec)
        except FairleadError as error:
            yield Check("pipeline", "bad", str(error), "fairlead compile --list")
            return
        yield Check("pipeline", "good", f"{source.module}: {len(components)} components")
    yield from check_cluster(current, components, deep=deep)


def _tell(checks: Iterable[Check]) -> None:
    """Print a line for each finding, and below each bad one its remedy."""
    for check in checks:
        mark, color = _MARKS[check.state]
        click.echo(f"{click.style(mark, fg=color, bold=True)} {check.name:15} {check.finding}")
        if check.mend and check.state != "good":
            click.echo(f"{'':18}{click.style('→', fg=color)} {check.mend}")


def check_platform(current: Settings) -> Iterator[Check]:
    """Yield whether the laptop platform's state can be read and its port is free or its own.

    Args:
        current: Where the platform keeps its state, and the port.
    """
    from fairlead.platform.laptop.client import running
    from fairlead.platform.laptop.places import Places
    from fairlead.platform.laptop.state import PlatformState

    places = Places(current.platform_home)
    try:
        state = PlatformState.load(places.state)
    except StateError as error:
        file = shlex.quote(str(places.state))
        yield Check("platform", "bad", str(error), f"mv {file} {file}.broken")
        return
    up = running(places)
    services = ", ".join(sorted(state.services)) or "no service"
    yield Check("platform", "good", f"{'it runs' if up else 'it is stopped'}; it knows {services}")
    yield _port(current, state.port if up else None, state.processes.get("envoy"))


def _port(current: Settings, ours: int | None, proxy: "ProcessRecord | None") -> Check:
    """Say whether the serving port is free, or the platform's own.

    Args:
        current: The host and port wanted.
        ours: The port of the running platform.
        proxy: The proxy that the platform's state names.
    """
    from fairlead.platform.laptop.processes import adopt, port_is_free

    port = current.serving_port
    if ours == port:
        return Check("port", "good", f"{port} is the platform's own")
    if port_is_free(current.host, port):
        return Check("port", "good", f"{port} is free")
    if ours is None and proxy is not None and adopt(proxy) is not None:
        return Check("port", "warn", f"{port} is held by our proxy, whose supervisor has died", "fairlead up")
    free = next((other for other in range(port + 1, 65536) if port_is_free(current.host, other)), port)
    return Check("port", "bad", f"{port} is taken by another program", f"export FAIRLEAD_SERVING_PORT={free}")


def check_pipeline(name: str) -> Iterator[Check]:
    """Yield whether a pipeline's problem is valid and its data are there.

    Args:
        name: A pipeline's name or the path of its file.
    """
    from fairlead.problem import load_problem
    from fairlead_pipelines import catalog

    try:
        source = catalog.find(name)
    except FairleadError as error:
        yield Check("pipeline", "bad", str(error), "fairlead compile --list")
        return
    yield Check("pipeline", "good", str(source.module))
    if source.problem is None:
        return
    try:
        values = load_problem(source.problem)
    except FairleadError as error:
        yield Check("problem.yaml", "bad", str(error), f"${{EDITOR:-vi}} {shlex.quote(str(source.problem))}")
        return
    yield Check("problem.yaml", "good", "every key and value is allowed")
    yield from check_data(values.get("data", {}), source.problem)


def check_data(tables: Mapping[str, Mapping[str, Any]], problem: Path) -> Iterator[Check]:
    """Yield whether each table's source is there; what lies behind an address is not asked for.

    Args:
        tables: The problem's section `data`.
        problem: The file to edit where a source is wrong.
    """
    edit = f"${{EDITOR:-vi}} {shlex.quote(str(problem))}"
    for table, spec in tables.items():
        source, name = str(spec.get("source", "")), f"data {table}"
        if source.startswith("pkg:"):
            yield _packaged(name, source, edit)
        elif "://" in source:
            yield Check(name, "good", f"{source} (not asked)")
        elif source and not _matches(source):
            yield Check(name, "bad", f"{source} is not there", edit)
        else:
            yield Check(name, "good", source or "given when the pipeline is run")


def _matches(source: str) -> bool:
    """Tell whether a path is there, or any file that a glob means."""
    path = Path(source).expanduser()
    folder = Path(path.anchor) if path.is_absolute() else Path()
    return path.exists() or any(folder.glob(str(path.relative_to(path.anchor))))


def _packaged(name: str, source: str, edit: str) -> Check:
    """Say whether a file that comes with a Python package is there; the package is not imported."""
    package, _, inner = source.removeprefix("pkg:").partition("/")
    found = importlib.util.find_spec(package)
    if found is None:
        pinned = requirements("examples").get(package, package)
        return Check(name, "bad", f"the package {package} is not installed", install("--no-deps", pinned))
    folders = [Path(folder) for folder in found.submodule_search_locations or ()]
    if not any((folder / inner).is_file() for folder in folders):
        return Check(name, "bad", f"the package {package} has no file {inner}", edit)
    return Check(name, "good", source)
