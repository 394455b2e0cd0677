"""`fairlead verify`: is this the model that was judged, and do the right people's verdicts let it go on?"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fairlead.errors import SourceError

if TYPE_CHECKING:
    from fairlead.registry.verification import Verification
    from fairlead.verdicts import Verdict

_FILE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("model")
@click.option("--policy", "policy_file", type=_FILE, help="The policy, or a problem.yaml that has one.")
@click.option("--for", "stage", type=click.Choice(["registration", "deployment"]), help="Only what this needs.")
@click.option("--trust", "trust_file", type=_FILE, help="Public keys by name; only verdicts that these signed count.")
@click.option("--verdicts", "places", type=_FILE, multiple=True, help="A verdict, or a folder of them; repeatable.")
@click.option("--digest", default="", help="The digest that the package must have: sha256:…")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def command(
    context: click.Context,
    model: str,
    policy_file: Path | None,
    stage: str | None,
    trust_file: Path | None,
    places: tuple[Path, ...],
    digest: str,
    as_json: bool,
) -> None:
    """Check a model from files alone: the package is whole, its verdicts are about these very bytes, their signatures
    fit, and they are those that the policy demands. Ends with status 1 where anything is wrong.

    MODEL is a package's folder, with its verdicts in a folder `verdicts` beside it, or the name of a registered model,
    or NAME@ALIAS, NAME@VERSION, NAME@sha256:…

    \b
    Examples:
      fairlead verify received/package --policy policy.yaml --trust our-keys.yaml
      fairlead verify flights@champion --policy problem.yaml --for deployment
    """  # noqa: D205, D301 - click wraps the first paragraph; \b is its mark for one that keeps its lines
    from fairlead.registry import policy as policies
    from fairlead.registry.verification import Terms, read_verdicts, verdicts_beside, verify

    terms = Terms(
        policy=policies.read_policy(policy_file) if policy_file else None,
        stages=[stage] if stage else ("registration", "deployment"),  # type: ignore[list-item]
        trusted=policies.read_trust(trust_file) if trust_file else None,
        digest=digest,
    )
    given, unreadable = read_verdicts(places)
    if _is_folder(model):
        beside = None if places else verdicts_beside(Path(model))
        known, wrong = read_verdicts([beside] if beside else [])
        found = verify(Path(model), [*given, *known], terms, [*unreadable, *wrong])
    else:
        with _registered(model) as (package, registered, kept):
            terms = Terms(terms.policy, terms.stages, terms.trusted, digest or registered)
            found = verify(package, given or kept, terms, unreadable)
    _tell(found, as_json)
    context.exit(0 if found.is_good else 1)


def _is_folder(model: str) -> bool:
    """Whether a package's folder is meant: a folder of some other content may bear a registered model's name."""
    from fairlead.registry.verification import NEEDED

    folder = Path(model)
    return folder.is_dir() and ("/" in model or any((folder / file).exists() for file in NEEDED))


@contextmanager
def _registered(model: str) -> "Iterator[tuple[Path, str, list[Verdict]]]":
    """Gives a registered package's folder, the digest that it was registered with, and the verdicts kept with it."""
    from fairlead.registry import store
    from fairlead.registry.fetch_model.task import fetch_model

    name, _, which = model.partition("@")
    if "/" in model or model.startswith("."):
        raise SourceError(f"there is no folder {model}; give a package's folder, or the name of a registered model")
    with tempfile.TemporaryDirectory(prefix="fairlead-verify-") as folder:
        found = fetch_model(Path(folder) / "package", name, which or "champion")
        if not found.found:
            raise SourceError(
                f"there is no folder {model}, and no registered model {name} with {which or 'the alias champion'}; "
                "give a package's folder, or NAME@ALIAS, NAME@VERSION or NAME@sha256:…"
            )
        yield Path(folder) / "package", found.digest, store.verdicts(name, found.digest)


def _tell(found: "Verification", as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
        return
    from rich.console import Console

    console = Console()
    console.print(f"[bold]{found.name or 'model'}[/]  {found.digest or 'no package'}", highlight=False, soft_wrap=True)
    console.print(
        f"{found.files} files" + (f" · policy {found.policy}" if found.policy else ""), highlight=False, soft_wrap=True
    )
    if found.findings:
        console.print(_table(found), highlight=False)
    for problem in found.problems:
        console.print(f"[red]✗[/] {_plain(problem)}", highlight=False, soft_wrap=True)
    console.print(_conclusion(found), highlight=False, soft_wrap=True)


def _conclusion(found: "Verification") -> str:
    if not found.is_good:
        return "[bold red]Refused.[/]"
    judges = ", ".join(dict.fromkeys(f.judge for f in found.findings if not f.problem))
    said = f"[bold green]Verified:[/] exactly these bytes were approved by {judges or 'nobody, as the policy allows'}."
    return said if found.policy else f"{said} No policy was given, so nothing says whose approval is needed."


def _table(found: "Verification") -> Any:
    from rich import box
    from rich.table import Table

    from fairlead.values import moment

    table = Table("judge", "outcome", "signed by", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("made", no_wrap=True)
    table.add_column("finding")
    colors = {"approved": "green", "rejected": "red", "inconclusive": "yellow"}
    for f in found.findings:
        verdict = f.verdict
        outcome = f"[{colors[verdict.outcome]}]{verdict.outcome}[/]" if verdict else "[red]missing[/]"
        made, key = (moment(verdict.created_at), _plain(verdict.key)) if verdict else ("", "")
        finding = f"[red]{_plain(f.problem)}[/]" if f.problem else "[green]counts[/]"
        aside = "" if f.demanded or not found.policy else " [dim](not demanded)[/]"
        table.add_row(_plain(f.judge), outcome, key or ("[dim]unsigned[/]" if verdict else ""), made, finding + aside)
    return table


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)
