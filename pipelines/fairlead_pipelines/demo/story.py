"""The demo's story, told with real parts only: three models, one service, clients that never notice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.platform.runner.local import Run
from fairlead.settings import Settings, settings
from fairlead_pipelines.command.run import execute, stop_platform
from fairlead_pipelines.demo.sabotage import slow_copy

NAME = "flights"
SUMMER = "2013-08-01"
REQUESTS_PER_SECOND = 60
CANARY = ("rollout.steps=[shadow, 20, 50]", "rollout.minimum_requests=150")
CAREFUL_CANARY = (
    "rollout.steps=[shadow, 10, 50]", "rollout.shadow_percent=10", "rollout.minimum_requests=150",
)  # fmt: skip
MORE_MONTHS = (
    f"as_of={SUMMER}",
    "split.train_until=2013-07-01",
    "split.validation_until=2013-07-15",
    f"split.test_until={SUMMER}",
)
# A hurried team: the trial of the server rejects the slow model, and nobody asks; only the canary is left.
CARELESS = (
    "policy.registration=[evaluation, slices, behaviour, comparison]",
    "policy.deployment=[evaluation, slices, behaviour, comparison]",
    "server.attempts=1",
    "load.rates=[100]",
)
_MARK = "demo.json"


def tell(console: Console) -> bool:
    """Tells the story.

    Args:
        console: Where to tell it.

    Returns:
        Whether it went as it should: served, promoted, rolled back, and no failed request.

    Raises:
        StateError: The state folder holds work that is not the demo's.
    """
    begun, place = time.monotonic(), settings()
    _start_afresh(place)
    _chapter(console, 1, "a first model, trained on spring, takes all the traffic")
    first = execute(NAME, (), console, fresh=True)
    if first.state != "succeeded":
        return False
    with _clients(place) as clients:
        _chapter(console, 2, "a better model goes out as a canary, while unseen summer flights ask for predictions")
        second = execute(NAME, (*MORE_MONTHS, *CANARY), console, watch=clients.start_with_rollout)
        if second.state != "succeeded":
            return False
        _chapter(
            console, 3, "a third model is as accurate but slow; a careless policy does not ask for the server's trial"
        )
        slow = place.home / "demo" / "slow-package"
        slow_copy(Path(second.output("calibrated")["uri"]), slow)
        third = execute(f"{NAME}-release", (f"package_uri={slow}", *MORE_MONTHS, *CAREFUL_CANARY, *CARELESS), console)
    return _sum_up(console, {"second": second, "third": third}, clients.tally(), time.monotonic() - begun, place)


def _chapter(console: Console, number: int, title: str) -> None:
    console.print(f"\n[bold]({number}) {title}[/]", highlight=False)


def _start_afresh(place: Settings) -> None:
    """Removes what an earlier demo served and registered; keeps reusable steps, refuses to touch other work."""
    mine, state = place.home / _MARK, [place.registry_home, place.platform_home, place.features_home(NAME)]
    if not mine.exists() and any(folder.exists() for folder in state):
        raise StateError(
            f"{place.home} holds models or features that are not the demo's; "
            "give the demo a folder of its own: FAIRLEAD_HOME=.fairlead-demo make demo"
        )
    stop_platform()
    for folder in [*state, place.predictions_home(NAME), place.home / "demo"]:
        shutil.rmtree(folder, ignore_errors=True)
    atomic.write_json(mine, {"made_by": "fairlead demo"})


class Clients:
    """The clients: a process that replays summer flights, begun when the first rollout begins."""

    def __init__(self, process: "subprocess.Popen[str]", report: Path) -> None:
        self._process = process
        self._report = report
        self._started = False

    def start_with_rollout(self, run: Run) -> None:
        """Lets the clients begin as soon as the run rolls its model out."""
        if not self._started and run.tasks["roll-out-model"].state == "running" and self._process.stdin:
            self._started = True
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def stop(self) -> None:
        """Ends the traffic; requests still out get their answers first."""
        self._process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20)
        self._process.kill()

    def tally(self) -> dict[str, Any]:
        """What the clients saw."""
        return dict(json.loads(self._report.read_text())) if self._report.exists() else {}


@contextmanager
def _clients(place: Settings) -> Iterator[Clients]:
    report = place.home / "demo" / "clients.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    arguments = [
        "replay",
        NAME,
        "--from",
        SUMMER,
        "--rate",
        str(REQUESTS_PER_SECOND),
        "--report",
        str(report),
        "--wait",
    ]
    with (report.parent / "clients.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fairlead_pipelines.command.main", *arguments],
            stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        clients = Clients(process, report)
        try:
            yield clients
        finally:
            clients.stop()


def _sum_up(console: Console, runs: dict[str, Run], tally: dict[str, Any], seconds: float, place: Settings) -> bool:
    outcomes = {name: run.output("outcome") for name, run in runs.items()}
    failed, sent = sum(tally.get("failed", {}).values()), tally.get("sent", 0)
    good = outcomes == {"second": "promoted", "third": "rolled_back"} and failed == 0 and sent > 0
    console.print(f"\n[bold]The story in figures[/] ({seconds:.0f} s)", highlight=False)
    console.print(f"  second model: {outcomes['second']}; third model: {outcomes['third']}", highlight=False)
    console.print(
        f"  clients: {sent:,} requests, {failed} failed, {tally.get('feedback', 0):,} outcomes came back, "
        f"simulated until {tally.get('simulated', '-')}, longest wait {tally.get('slowest_seconds', 0):.1f} s "
        "(in the client's own queue too: it shares the cores with everything else)",
        highlight=False,
    )
    for name, run in runs.items():
        console.print(f"  report of the {name} run: {run.directory / 'report.html'}", highlight=False, soft_wrap=True)
    if os.environ.get("CI"):
        stop_platform()
    else:
        console.print(f"  it goes on serving at http://{place.host}:{place.serving_port} until: fairlead down")
    return good
