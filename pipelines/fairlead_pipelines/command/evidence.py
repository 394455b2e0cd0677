"""What rich can print of rollouts."""

from typing import Any

from fairlead.deployment.findings import Finding
from fairlead.deployment.judge import Judge
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.spec import SHADOW, RolloutSpec
from fairlead.errors import RolloutError, nearest
from fairlead.platform.serving import home

_DIGITS = 12  # of a digest
_COLORS = {"promoted": "green", "rolled_back": "red", "inconclusive": "yellow"}
_BAR = 20
_EVENTS = 6


def _records(name: str) -> Records:
    known = home().rolled_out()
    if name not in known:
        hint = nearest(name, known) if known else "none was rolled out here; run: fairlead run flights"
        raise RolloutError(f"there was no rollout of {name!r}; {hint}")
    return Records(home().records(name))


def latest(name: str) -> RolloutState:
    """Reads the state of a service's latest rollout.

    Raises:
        RolloutError: There was none.
        StateError: It is corrupt.
    """
    records = _records(name)
    state = records.load()
    if state is None:
        raise RolloutError(f"there was no rollout of {name!r}")
    return state


def view(state: RolloutState) -> Any:
    """Shows a rollout: what is asked for and observed, what each check has found, and what was decided.

    Args:
        state: The rollout, under way or ended.
    """
    from rich.console import Group

    spec = RolloutSpec.parse(state.spec, where="rollout")
    judge = Judge(spec)
    if state.judge:
        judge.restore(state.judge)
    parts: list[Any] = [_title(state), _step(state, spec, judge)]
    if state.looks:
        parts.append(_checks(judge))
    parts += [f"[dim]{event.seconds:7.1f} s[/]  {event.what}" for event in state.events[-_EVENTS:]]
    return Group(*parts)


def history(name: str) -> Any:
    """Lists a service's rollouts and changes by hand, oldest first."""
    from rich import box
    from rich.table import Table

    table = Table("time", "by", "version", "outcome", "why", box=box.SIMPLE_HEAD)
    for record in _records(name).past():
        version = str(record.get("version") or _short(str(record.get("digest", ""))))
        outcome = str(record.get("outcome", ""))
        why = "; ".join(record.get("reasons") or [str(record.get("reason", ""))])
        table.add_row(str(record["time"]), str(record.get("by", "")), version, _colored(outcome), why)
    return table


def _title(state: RolloutState) -> str:
    stable = _short(state.stable) if state.stable else "nothing"
    what = f"[bold]{state.name}[/] version {state.version} ({_short(state.digest)}) against {stable}"
    return f"{what}: {_colored(state.outcome) if state.outcome else f'[cyan]{state.phase}[/]'}"


def _colored(outcome: str) -> str:
    color = _COLORS.get(outcome)
    words = outcome.replace("_", " ")
    return f"[{color}]{words}[/]" if color else words


def _step(state: RolloutState, spec: RolloutSpec, judge: Judge) -> str:
    if not state.looks:
        return "no evidence yet" if state.phase == "stepping" else "there was nothing to compare with"
    look, index = state.looks[-1], min(state.step, len(spec.steps) - 1)
    step = spec.steps[index]
    if step == SHADOW:
        asked, got = f"copies of {spec.shadow_percent:g} % of the requests", "no user sees its answers"
    else:
        share = 100 * look.canary / max(1, look.canary + look.stable)
        asked, got = f"{step:g} % asked for", f"{share:.1f} % observed"
    requests = f"{judge.step_requests:,} of {spec.minimum_requests:,} requests of this step"
    return f"step {index + 1} of {len(spec.steps)}: {asked}, {got}; {requests}; {state.seconds:.0f} s in all"


def _checks(judge: Judge) -> Any:
    from rich import box
    from rich.table import Table

    table = Table("check", "difference", "bounds", "allowed", "evidence against it", "seen", box=box.SIMPLE_HEAD)
    for finding in judge.findings():
        interval = finding.interval
        table.add_row(
            finding.metric, f"{interval.estimate:+.4f}", f"{interval.lower:+.4f} to {interval.upper:+.4f}",
            f"{finding.margin:+.4f}", _bar(finding), f"{finding.canary:,} / {finding.stable:,}",
        )  # fmt: skip
    return table


def _bar(finding: Finding) -> str:
    """How near the evidence is to rejection, on a logarithmic scale."""
    share = min(max(finding.log_e / finding.enough, 0.0), 1.0)
    filled = round(share * _BAR)
    color = "red" if finding.rejected else "yellow" if finding.suspicious else "green"
    return f"[{color}]{'█' * filled}[/][dim]{'·' * (_BAR - filled)}[/] {share:4.0%}"


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_DIGITS]
