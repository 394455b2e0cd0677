"""The live view of a run: each step, its time, and how far long steps are."""

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fairlead.platform.runner.local import Run, TaskState

_MARKS = {
    "waiting": ("·", "dim"), "running": ("▸", "bold cyan"), "succeeded": ("✓", "green"), "cached": ("✓", "dim green"),
    "failed": ("✗", "bold red"), "skipped": ("-", "dim"),
}  # fmt: skip
_FIGURES_SHOWN = 3


class LiveView:
    """Shows a run while it goes: a table that refreshes in a terminal, a line per finished step elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[str] = set()
        self._live = Live(console=console, refresh_per_second=8, transient=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, run: Run) -> None:
        """Shows the run as it stands."""
        if self._live:
            self._live.update(_table(run))
            return
        for task in run.tasks.values():
            if task.state in {"succeeded", "cached", "failed"} and task.name not in self._told:
                self._told.add(task.name)
                mark, _ = _MARKS[task.state]
                self._console.print(f"  {mark} {task.name:26} {_seconds(task)}", highlight=False)


def _table(run: Run) -> Table:
    table = Table.grid(padding=(0, 2))
    for task in run.tasks.values():
        mark, style = _MARKS[task.state]
        table.add_row(Text(mark, style), Text(task.name, style), Text(_seconds(task), "dim"), _progress(task))
    return table


def _seconds(task: TaskState) -> str:
    if task.state == "running":
        return f"{time.time() - task.progress.get('from', time.time()):6.1f} s"
    if task.state in {"succeeded", "failed"}:
        return f"{task.seconds:6.1f} s"
    return "reused" if task.state == "cached" else ""


def _progress(task: TaskState) -> Text:
    step, done, total = task.progress.get("step"), task.progress.get("done") or 0, task.progress.get("total")
    if task.state != "running" or not step:
        return Text("")
    share = f" {100 * done / total:.0f} %" if total else f" {done:g}" if done else ""
    figures = list(task.progress.get("figures", {}).items())[:_FIGURES_SHOWN]
    return Text(f"{step}{share}" + "".join(f"  {name} {value:.4g}" for name, value in figures), "cyan")
