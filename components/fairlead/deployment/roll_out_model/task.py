"""Rolls a deployed version out: canary steps with a real check at each, then promotion or rollback."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead.deployment.deploy_model.task import Registered
from fairlead.deployment.engine import Rollout
from fairlead.deployment.judge import Judge
from fairlead.deployment.permission import require_verdicts
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.report import write_report
from fairlead.deployment.spec import RolloutSpec
from fairlead.errors import RolloutError
from fairlead.platform.serving import Serving, Target, home
from fairlead.registry import deployments
from fairlead.verdicts import Outcome, Verdict

JUDGE = "canary"
_VERDICTS: dict[str, Outcome] = {"promoted": "approved", "rolled_back": "rejected", "inconclusive": "inconclusive"}


@dataclass(frozen=True)
class RolledOut:
    """How a rollout ended.

    Attributes:
        outcome: `promoted`, `rolled_back` or `inconclusive`.
        endpoint: Where the service's clients post predictions.
        verdict: The canary's verdict on the version.
        figures: The evidence.
    """

    outcome: str
    endpoint: str
    verdict: Verdict
    figures: dict[str, float]


def roll_out_model(
    registered: Path | str,
    rollout: Mapping[str, Any],
    policy: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
) -> RolledOut:
    """Rolls a version out, or goes on with its rollout where an earlier run was interrupted.

    Args:
        registered: The file that register_model wrote; deploy_model has started the version.
        rollout: The problem's section `rollout`.
        policy: The problem's section `policy`; the verdicts that `deployment` lists must approve this very digest.
        verdict: Where the canary's verdict is written.
        report: Where the HTML report is written.

    Returns:
        How it ended.

    Raises:
        VerdictError: A verdict that the policy demands is missing, failed, for another digest, or not signed as
            demanded; or the policy is not accepted here.
        RolloutError: The version was not deployed, or another process is in charge of this service's rollout.
        PlatformError: The platform does not do its part; the next run goes on from here.
    """
    model, spec = Registered.read(registered), RolloutSpec.parse(rollout, where="rollout")
    require_verdicts(model.name, model.digest, policy)
    with home().connect() as place:
        service = _service_of(place, model)
        records = Records(home().records(service))
        with records.charge():
            _end_other(place, records, model)
            target = place.target(service, model.digest)
            try:
                state = _run(records, target, model, spec)
            finally:
                target.close()
        figures = _figures(state)
        found = _verdict(state, spec, figures).issue(verdict)
        _keep(model, found)
        deployments.record(model.name, place.service(service))
    write_report(state, figures, report)
    return RolledOut(state.outcome, target.endpoint, found, figures)


def _run(records: Records, target: Target, model: Registered, spec: RolloutSpec) -> RolloutState:
    state = records.load()
    if state is None or not _goes_on(state, target):
        content = spec.model_dump(mode="json")
        state = RolloutState(
            name=target.name, digest=model.digest, version=model.version, stable=target.stable, spec=content
        )
        if target.promoted:  # nothing is left to do but the alias
            state.phase, state.outcome, state.reasons = "promoting", "promoted", ["it is the stable version already"]
        records.save(state)

    def set_champion() -> None:
        from fairlead.registry import store

        store.set_alias(model.name, model.version, "champion")

    going_on = RolloutSpec.parse(state.spec, where="rollout")
    engine = Rollout(target, going_on, state, records.save, set_champion, records.commanded)
    state = engine.run()
    record = state.model_dump(include={"digest", "version", "outcome", "reasons", "seconds"})
    records.append({"by": "canary", "from": state.stable, **record, "figures": engine.judge.figures()})
    return state


def _goes_on(state: RolloutState, target: Target) -> bool:
    """Whether an interrupted rollout can go on: it compares with what is stable now, or had only to be tidied up."""
    if state.phase == "done":
        return False
    return state.stable == target.stable or (state.phase == "promoting" and target.promoted)


def _end_other(place: Serving, records: Records, model: Registered) -> None:
    """Ends the interrupted rollout of another version: its canary goes before the new one begins."""
    state = records.load()
    if state is None or state.phase == "done" or state.digest == model.digest:
        return
    state.outcome, state.reasons = "rolled_back", [f"version {model.version} is rolled out instead"]
    try:
        target = place.target(state.name, state.digest)
    except RolloutError:
        pass  # its server is gone already: deploying the new version made room
    else:
        target.roll_back()
        target.close()
    state.phase = "done"
    records.save(state)
    records.append({"by": "canary", "digest": state.digest, "outcome": state.outcome, "reasons": state.reasons})


def _service_of(place: Serving, model: Registered) -> str:
    """The service under which the version was deployed.

    Raises:
        RolloutError: It was not deployed.
    """
    found = [service.name for service in place.services().values() if model.digest in service.versions]
    if not found:
        raise RolloutError(
            f"{model.name} version {model.version} ({model.digest[:19]}) does not run; run deploy_model for it first"
        )
    return model.name if model.name in found else found[0]


def _figures(state: RolloutState) -> dict[str, float]:
    judge = Judge(RolloutSpec.parse(state.spec, where="rollout"))
    if state.judge:
        judge.restore(state.judge)
    return judge.figures() | {"seconds": round(state.seconds, 3)}


def _keep(model: Registered, verdict: Verdict) -> None:
    """Keeps the verdict in the registry, beside those that let the version in."""
    from fairlead.registry import store

    store.keep_verdict(model.name, verdict)


def _verdict(state: RolloutState, spec: RolloutSpec, figures: dict[str, float]) -> Verdict:
    thresholds: dict[str, float | str] = {
        "alpha": spec.alpha,
        "minimum_requests": spec.minimum_requests,
        "e_value_limit": len(spec.checks) / spec.alpha,
    }
    return Verdict(
        judge=JUDGE, model_digest=state.digest, outcome=_VERDICTS[state.outcome], figures=figures,
        thresholds=thresholds, reasons=state.reasons,
    )  # fmt: skip
