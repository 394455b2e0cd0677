"""The command `fairlead`: a group whose subcommands are loaded when they are called.

`fairlead --help` must answer at once, so it knows each subcommand's one line from the table below and imports none of
them. A subcommand NAME is the object `command` of the module `fairlead_pipelines.command.NAME`.
"""

import importlib
import logging
from typing import Any

import click

from fairlead import __version__
from fairlead.errors import FairleadError, nearest

COMMANDS = {
    "run": "Run a pipeline here; ends with where the model serves.",
    "submit": "Run a pipeline on Kubeflow Pipelines, and follow it.",
    "follow": "Follow a run on Kubeflow Pipelines, and fetch what it made.",
    "recurring": "List, pause, resume or delete recurring runs there.",
    "compile": "Write the packages that Kubeflow Pipelines takes.",
    "components": "Show the catalog, or one component's inputs and outputs.",
    "status": "Show what serves, and how the traffic is split.",
    "up": "Start the laptop platform, with what served before.",
    "down": "Stop the laptop platform; what it served is remembered.",
    "rollout": "Watch a rollout's evidence, or list earlier ones.",
    "why": "Show why a request was answered as it was.",
    "feedback": "Put reported outcomes from a file into a service's log.",
    "promote": "Send all traffic of a service to its canary, by hand.",
    "rollback": "Send all traffic back to the stable version, by hand.",
    "verify": "Check a model's package, verdicts and signatures.",
    "keys": "Make keys for signing verdicts and policies.",
    "models": "Show the registered models and versions; compare two.",
    "lineage": "Show what a model was made from, and where it serves.",
    "gc": "Remove old versions that nobody serves or points at.",
    "doctor": "Say what is missing here, and the command that mends it.",
    "report": "Write the HTML report of a run.",
    "demo": "Tell the whole story with real flights.",
    "replay": "Send held-out rows to a service as client traffic.",
}


class LazyGroup(click.Group):
    """A group that imports a subcommand's module only when the subcommand is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands' names in the order in which one meets them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a subcommand, or None if there is none of that name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"fairlead_pipelines.command.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; a wrong name gets the nearest right one in the error."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            ctx.fail(f"there is no command {args[0]!r}; {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand; what a user can mend is shown as text alone, unless --debug asks for more."""
        debug = ctx.params.get("debug")
        try:
            return super().invoke(ctx)
        except FairleadError as error:
            if debug:
                raise
            _tell(str(error))
            return ctx.exit(1)
        except ModuleNotFoundError as error:
            if debug or (error.name or "fairlead").startswith("fairlead"):
                raise  # a mistake of ours
            _tell(f"the package {error.name} is not installed; `fairlead doctor` says how to install what is missing")
            return ctx.exit(1)


def _tell(text: str) -> None:
    """Print an error as users see it."""
    click.echo(click.style("error: ", fg="red", bold=True) + text, err=True)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show tracebacks and debug logs.")
@click.version_option(__version__, prog_name="fairlead")
def main(debug: bool) -> None:
    """From raw data to a proven, canaried model: pipelines of Kubeflow components, run on this machine.

    \b
    Start here:
      fairlead doctor flights   is everything here that it needs?
      fairlead run flights      data, features, training, proof, rollout
      fairlead status           what serves, and how the traffic is split

    State lives under .fairlead/ (FAIRLEAD_HOME or `home` in fairlead.toml move it).
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")


if __name__ == "__main__":
    main()
