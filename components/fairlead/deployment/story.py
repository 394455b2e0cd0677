"""Why a prediction came out as it did: its features and their times, the model, its verdicts, its data, its outcome."""

import datetime as dt
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead import signatures
from fairlead.errors import ConfigurationError, PackageError, SourceError, nearest
from fairlead.predictions import PredictionLog
from fairlead.registry import lineage, store
from fairlead.registry.policy import read_trust
from fairlead.settings import Settings, settings
from fairlead.values import moment
from fairlead.verdicts import KIND, Verdict
from fairlead_serving.log_schema import EVENT_TIME, FEATURE

_OUTPUTS = ("probability", "prediction", "score")
_STATES = ("future", "unavailable")


@dataclass(frozen=True)
class Feature:
    """A feature as the model saw it.

    Attributes:
        name: The input of the model.
        value: Its value; None where it was missing.
        observed: When it was observed, where it was looked up.
        age: How long before the prediction time that was.
        state: `stale`, `future` or `unavailable` where the online store had nothing fresh; empty else.
        moved: What it moved the prediction by, where that was asked for.
    """

    name: str
    value: Any
    observed: dt.datetime | None = None
    age: dt.timedelta | None = None
    state: str = ""
    moved: float | None = None


@dataclass(frozen=True)
class Judgement:
    """A verdict on the model, and what is known of who signed it.

    Attributes:
        verdict: The verdict.
        signature: In words.
    """

    verdict: Verdict
    signature: str


@dataclass(frozen=True)
class Story:
    """One version's prediction for one row of a request.

    Attributes:
        service: The service whose log has it.
        row: The logged row, by column.
        features: As the model saw them, in the model's order, or the most moving one first.
        model: The registered version, its datasets and where it serves; None where no registry knows it.
        judgements: Its verdicts.
        outcomes: What was reported of it, the earliest first.
        explanation: What moved the prediction, where that was asked for.
        rows: How many rows the request had.
        others: Other versions that answered the same row, by digest, with their answers.
    """

    service: str
    row: Mapping[str, Any]
    features: tuple[Feature, ...]
    model: lineage.Lineage | None = None
    judgements: tuple[Judgement, ...] = ()
    outcomes: tuple[Mapping[str, Any], ...] = ()
    explanation: Mapping[str, Any] | None = None
    rows: int = 1
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answer(self) -> Any:
        """What the model answered."""
        return answer_of(self.row)


def tell(
    request_id: str, service: str = "", *, row: int = 0, digest: str = "", log: str = "", explain: bool = False
) -> Story:
    """Puts together what is known of a prediction.

    Args:
        request_id: The request's id, as its answer's header x-request-id said it.
        service: The service; by default every one that has a log here.
        row: The row within the request.
        digest: The version, by the first digits of its digest, where several answered; by default the last that did.
        log: Where the log is, where the settings do not lead to it: a folder, or s3://BUCKET/PREFIX.
        explain: Whether to find out what moved the prediction, from the registered package.

    Raises:
        SourceError: No log has the request or the row, or a log cannot be read; or the package that is to explain is
            gone.
        ConfigurationError: There is no such service here.
        StateError: The registry cannot be read.
    """
    place = settings()
    name, source, rows = _find(request_id, _logs(place, service, log))
    chosen = [one for one in rows if one["row"] == row]
    if not chosen:
        raise SourceError(f"request {request_id!r} had {len({one['row'] for one in rows})} rows, from 0; not {row}")
    fitting = [one for one in chosen if _hex(one["digest"]).startswith(_hex(digest))]
    if not fitting:
        known = ", ".join(sorted(one["digest"][:19] for one in chosen))
        raise SourceError(f"request {request_id!r} was not answered by version {digest}; it was by {known}")
    told = max(fitting, key=lambda one: one["time"])
    known_model = next(iter(lineage.versions_like(told["digest"])), None)
    found = _explain(told, known_model) if explain else None
    return Story(
        name, told, _features(told, found), lineage.lineage_of(known_model) if known_model else None,
        _judgements(place, known_model), _outcomes(source, request_id, row), found,
        len({one["row"] for one in rows}),
        {one["digest"]: answer_of(one) for one in chosen if one["digest"] != told["digest"]},
    )  # fmt: skip


def log_of(service: str) -> Path | str:
    """Where the log of a service is, by the settings.

    Raises:
        ConfigurationError: There is none here.
    """
    place = settings()
    if place.object_store and place.platform == "kubeflow":
        return f"{place.object_store.rstrip('/')}/predictions/{service}"
    there = _services(place)
    if service not in there:
        hint = nearest(service, there) if there else "nothing was served here; run: fairlead run flights"
        raise ConfigurationError(f"there is no prediction log of a service {service!r}; {hint}")
    return place.predictions_home(service)


def _services(place: Settings) -> list[str]:
    home = place.predictions_home("any").parent
    return sorted(folder.name for folder in home.iterdir() if folder.is_dir()) if home.is_dir() else []


def _logs(place: Settings, service: str, log: str) -> dict[str, PredictionLog]:
    """The logs to look into, by service."""
    if log:
        return {service or log: PredictionLog.open(log)}
    if not service and place.object_store and place.platform == "kubeflow":
        raise ConfigurationError("name the service whose log is to be read: --service NAME")
    return {name: PredictionLog.open(log_of(name)) for name in ([service] if service else _services(place))}


def _find(request_id: str, logs: Mapping[str, PredictionLog]) -> tuple[str, PredictionLog, list[dict[str, Any]]]:
    for name, log in logs.items():
        rows = log.find(request_id).to_pylist()
        if rows:
            return name, log, rows
    spans = []
    for name, log in logs.items():
        begins = log.begins()
        spans.append(f"that of {name} goes back to {moment(begins)}" if begins else f"that of {name} is empty")
    raise SourceError(
        f"no prediction log has a request {request_id!r}: {'; '.join(spans) or 'nothing was served here'}. A request's "
        "id is its answer's header x-request-id; one that was just answered is here within a second"
    )


def _features(row: Mapping[str, Any], found: Mapping[str, Any] | None) -> tuple[Feature, ...]:
    states = dict(map(_state, row.get("stale") or ()))
    moved = (found or {}).get("contributions", {})
    names = [column.removeprefix(FEATURE) for column in row if column.startswith(FEATURE)]
    features = [_feature(row, name, states, moved) for name in names if not moved or name in moved]
    return tuple(sorted(features, key=lambda one: -abs(one.moved or 0.0)) if moved else features)


def _state(mark: str) -> tuple[str, str]:
    """A mark of the log as a feature's name and what was the matter with it."""
    for state in _STATES:
        if mark.startswith(f"{state}:"):
            return mark.removeprefix(f"{state}:"), state
    return mark, "stale"


def _feature(row: Mapping[str, Any], name: str, states: Mapping[str, str], moved: Mapping[str, float]) -> Feature:
    observed, as_of = row.get(EVENT_TIME + name), row["as_of"]
    age = as_of - observed if observed is not None and as_of is not None else None
    return Feature(name, row[FEATURE + name], observed, age, states.get(name, ""), moved.get(name))


def _judgements(place: Settings, known: Any) -> tuple[Judgement, ...]:
    if known is None:
        return ()
    trusted = read_trust(place.trust_file) if place.trust_file else {}
    return tuple(Judgement(one, _signature(one, trusted)) for one in store.verdicts(known.name, known.digest))


def _signature(verdict: Verdict, trusted: Mapping[str, Sequence[str]]) -> str:
    if not verdict.signature:
        return "unsigned"
    keys = trusted.get(verdict.key)
    if keys is None:
        return f"signed by {verdict.key}, not checked here: no trust_file names that key"
    fits = any(signatures.is_signed_by(key, KIND, verdict.content(), verdict.signature) for key in keys)
    return f"signed by {verdict.key}, checked" if fits else f"NOT signed by {verdict.key}: the signature does not fit"


def _outcomes(log: PredictionLog, request_id: str, row: int) -> tuple[Mapping[str, Any], ...]:
    return tuple(one for one in log.outcomes_of(request_id).to_pylist() if one["row"] == row)


def _explain(row: Mapping[str, Any], known: Any) -> Mapping[str, Any]:
    """Explains the prediction from the features as they were logged, by the registered package."""
    from fairlead_serving.errors import NotExplainableError
    from fairlead_serving.explain import PackageExplainer
    from fairlead_serving.package import InputInvalidError, ModelPackage, PackageInvalidError

    if known is None:
        raise SourceError(f"{row['digest'][:19]} is not registered, so that there is no package that could explain it")
    columns = {name.removeprefix(FEATURE): [value] for name, value in row.items() if name.startswith(FEATURE)}
    with tempfile.TemporaryDirectory(prefix="fairlead-why-") as folder:
        try:
            store.copy_package(known, Path(folder))
            package = ModelPackage.open(folder, known.digest)
            names = {item.name for item in package.manifest.inputs}
            given = {name: values for name, values in columns.items() if name in names}
            return PackageExplainer(package).explain(given).to_json()
        except NotExplainableError as error:
            raise PackageError(str(error)) from None
        except (OSError, PackageInvalidError, InputInvalidError) as error:
            raise SourceError(f"the package of {known.name} version {known.version} cannot explain: {error}") from None


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def answer_of(row: Mapping[str, Any]) -> Any:
    """What a logged row says that the model answered."""
    return next((row[name] for name in _OUTPUTS if row.get(name) is not None), None)


def span(age: dt.timedelta | None) -> str:
    """Writes how long before the prediction time a feature was observed."""
    if age is None:
        return ""
    seconds = abs(age.total_seconds())
    words = next(_parts(seconds), "0 s")
    return f"{words} later" if age.total_seconds() < 0 else f"{words} before"


def _parts(seconds: float) -> Iterator[str]:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * size or (unit == "s" and seconds):
            yield f"{seconds / size:.0f} {unit}"
