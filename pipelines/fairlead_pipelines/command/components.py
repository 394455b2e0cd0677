"""`fairlead components`: the catalog, and what each component takes and gives."""

from collections.abc import Mapping
from typing import Any

import click

from fairlead.errors import ConfigurationError, nearest

STAGES = (
    "ingestion", "features", "tuning", "training", "optimization", "evaluation", "registry", "deployment", "monitoring",
)  # fmt: skip
_TYPES = {"String": "str", "Integer": "int", "Float": "float", "Boolean": "bool", "List": "list", "Dict": "dict"}


@click.command()
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Show the catalog of components, or the inputs and outputs of the component NAME.

    \b
    Examples:
      fairlead components
      fairlead components train_model
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    console = Console()
    catalog = load_catalog()
    if name is None:
        console.print(catalog_table(catalog))
        console.print("One in detail: fairlead components NAME", style="dim", highlight=False)
        return
    for part in component_view(_pick(catalog, name)):
        console.print(part, highlight=False)


def load_catalog() -> dict[str, Any]:
    """Return every component of the catalog by name, in the order of the stages."""
    from fairlead import components

    found = {name: getattr(components, name) for name in components.__all__}
    return dict(sorted(found.items(), key=lambda item: (_rank(stage_of(item[1])), item[0])))


def stage_of(component: Any) -> str:
    """Return the stage that a component belongs to: the folder of its module."""
    parts = str(component.python_func.__module__).split(".")
    return parts[-3] if len(parts) >= 3 else ""  # noqa: PLR2004 - stage.unit.component


def _rank(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _pick(catalog: Mapping[str, Any], name: str) -> Any:
    """Return a component by name; KFP's dashes are as good as underscores."""
    found = catalog.get(name.replace("-", "_"))
    if found is None:
        raise ConfigurationError(f"there is no component {name!r}; {nearest(name, catalog)}")
    return found


def catalog_table(catalog: Mapping[str, Any]) -> Any:
    """Return a table of the components with one line each.

    Args:
        catalog: Components by name, in the order to show.
    """
    from rich import box
    from rich.table import Table

    table = Table("stage", "component", "what it does", box=box.SIMPLE_HEAD, pad_edge=False)
    last = ""
    for name, component in catalog.items():
        stage = stage_of(component)
        table.add_row(f"[dim]{stage if stage != last else ''}[/]", f"[bold]{name}[/]", _summary(component))
        last = stage
    return table


def _summary(component: Any) -> str:
    """Return the first paragraph of a component's docstring, on one line."""
    paragraph = (component.python_func.__doc__ or "").strip().split("\n\n")[0]
    return _plain(" ".join(paragraph.split()))


def _plain(text: str) -> str:
    """Return text in which rich finds no markup."""
    from rich.markup import escape

    return escape(text)


def component_view(component: Any) -> list[Any]:
    """Return what there is to show of one component: its text, its inputs, its outputs.

    Args:
        component: A KFP component made from a Python function.
    """
    function = component.python_func
    spec = component.component_spec
    heading = f"\n[bold]{function.__name__}[/]  [dim]{stage_of(component)} · fairlead.components.{function.__name__}[/]"
    parts: list[Any] = [heading, _plain(_introduction(function.__doc__ or "")), ""]
    if spec.inputs:
        parts.append(_ports("inputs", spec.inputs))
    if spec.outputs:
        parts.append(_ports("outputs", spec.outputs))
    return parts


def _introduction(docstring: str) -> str:
    """Return a Google docstring's text before its sections."""
    import inspect

    text = inspect.cleandoc(docstring)
    for section in ("Args:", "Returns:", "Raises:"):
        text = text.split(f"\n{section}")[0]
    return text.strip()


def _ports(title: str, ports: Mapping[str, Any]) -> Any:
    """Return a table of inputs or outputs: name, type, an input's default, description."""
    from rich import box
    from rich.table import Table

    headings = ("type", "default") if title == "inputs" else ("type",)
    table = Table(title, *headings, "", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, port in ports.items():
        default = (_default(port),) if title == "inputs" else ()
        description = _plain(" ".join((port.description or "").split()))
        table.add_row(f"[bold]{name}[/]", _type(port), *default, description)
    return table


def _type(port: Any) -> str:
    """Return a port's type in Python's or KFP's short name."""
    name = str(port.type).removeprefix("system.").split("@")[0]
    return _TYPES.get(name, name)


def _default(port: Any) -> str:
    """Return an input's default; one that must be given says so."""
    if not port.optional:
        return "[dim]required[/]"
    return "[dim]none[/]" if port.default is None else _plain(repr(port.default))
