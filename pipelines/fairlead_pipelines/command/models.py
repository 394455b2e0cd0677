"""`fairlead models`: what is registered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fairlead.registry.comparison import Comparison
    from fairlead.registry.deployments import Deployment
    from fairlead.registry.records import Registered

_DIGITS = 12
_COLORS = {"approved": "green", "rejected": "red", "inconclusive": "yellow"}


@click.command()
@click.argument("name", required=False, default="")
@click.option("--compare", nargs=2, metavar="A B", help="Put two versions side by side: number, alias or digest.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(name: str, compare: tuple[str, str] | None, as_json: bool) -> None:
    """Show the registered models, or the versions of the model NAME: aliases, verdicts, where they are served.

    \b
    Examples:
      fairlead models
      fairlead models flights
      fairlead models flights --compare champion challenger
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.registry import deployments, store

    if compare and not name:
        raise click.UsageError("--compare needs the model's NAME")
    if compare:
        _show_comparison(name, compare, as_json)
        return
    found = {model: store.versions(model) for model in ([name] if name else store.names())}
    found = {model: versions for model, versions in found.items() if versions}
    served = {model: deployments.deployments(model) for model in found}
    if as_json:
        click.echo(json.dumps(_as_json(found, served), indent=1))
    elif not found:
        click.echo(
            f"No model {name!r} is registered." if name else "No model is registered. Make one: fairlead run flights"
        )
    elif name:
        _print(_versions(found[name], served[name]))
    else:
        _print(_models(found, served))


def _as_json(
    found: Mapping[str, "Sequence[Registered]"], served: Mapping[str, Mapping[str, "Sequence[Deployment]"]]
) -> dict[str, Any]:
    return {
        model: [
            {**asdict(known), "served": [asdict(one) for one in served[model].get(known.digest, [])]}
            for known in versions
        ]
        for model, versions in found.items()
    }


def _models(
    found: Mapping[str, "Sequence[Registered]"], served: Mapping[str, Mapping[str, "Sequence[Deployment]"]]
) -> Any:
    table = _table("model", "versions", "champion", "challenger", "served")
    for model, versions in found.items():
        at = {alias: known.version for known in versions for alias in known.aliases}
        places = [_place(one) for known in versions for one in served[model].get(known.digest, [])]
        row = (at.get("champion", "-"), at.get("challenger", "-"), ", ".join(places) or "-")
        table.add_row(model, str(len(versions)), *row)
    return table


def _versions(versions: "Sequence[Registered]", served: Mapping[str, "Sequence[Deployment]"]) -> Any:
    table = _table("version", "digest", "aliases", "verdicts", "served", "registered")
    for known in reversed(versions):
        places = ", ".join(_place(one) for one in served.get(known.digest, []))
        row = (known.version, short(known.digest), ", ".join(known.aliases), outcomes(known.verdicts), places)
        table.add_row(*row, known.created_at[:16].replace("T", " "))
    return table


def _show_comparison(name: str, which: tuple[str, str], as_json: bool) -> None:
    from fairlead.registry.comparison import compare_versions, find_one

    done = compare_versions(find_one(name, which[0]), find_one(name, which[1]))
    if as_json:
        click.echo(json.dumps(asdict(done), indent=1))
        return
    if done.same:
        click.echo(f"Both are version {done.first.version}: one package.")
        return
    _print(_comparison(name, done))


def _comparison(name: str, done: "Comparison") -> Any:
    table = _table(name, *(f"version {known.version}" for known in (done.first, done.second)), "difference")
    table.add_row("digest", short(done.first.digest), short(done.second.digest), "")
    table.add_row("aliases", ", ".join(done.first.aliases), ", ".join(done.second.aliases), "")
    for judge, pair in done.verdicts.items():
        table.add_row(judge, *(outcomes({judge: outcome}, short=True) if outcome else "-" for outcome in pair), "")
    for key, (first, second) in done.figures.items():
        both = first is not None and second is not None
        difference = f"{second - first:+.4g}" if both else ""  # type: ignore[operator]
        table.add_row(key, *(f"{value:.6g}" if value is not None else "-" for value in (first, second)), difference)
    for key, texts in done.lineage.items():
        table.add_row(f"made: {key}", *(text[:40] or "-" for text in texts), "")
    return table


def short(digest: str) -> str:
    """The first digits of a digest."""
    return digest.removeprefix("sha256:")[:_DIGITS]


def outcomes(verdicts: Mapping[str, str], *, short: bool = False) -> str:
    """Verdicts by judge in a few coloured words."""
    return ", ".join(
        f"[{_COLORS.get(outcome, 'dim')}]{'' if short else f'{judge} '}{outcome}[/]"
        for judge, outcome in verdicts.items()
    )


def _place(one: "Deployment") -> str:
    share = f" {one.percent:g} %" if one.percent not in {0, 100} else ""
    return f"{one.service} {one.role}{share} on {one.place}"


def _table(*columns: str) -> Any:
    from rich import box
    from rich.table import Table

    return Table(*columns, box=box.SIMPLE_HEAD)


def _print(part: Any) -> None:
    from rich.console import Console

    Console().print(part, highlight=False)
