"""Does the server give what the package computes: readiness, signature, parity, batches, missing and unknown values?"""

from functools import partial

import numpy as np

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_spec import Protocol
from fairlead.evaluation.serving_trial.asking import Asker, largest_difference
from fairlead.evaluation.serving_trial.payloads import Columns, Field, Outputs
from fairlead.evaluation.serving_trial.rows import with_gaps, with_unknowns
from fairlead.evaluation.serving_trial.signature import image_shapes, objections, read_fields
from fairlead.evaluation.validate_server.trial import Result, Trial
from fairlead.values import number

SINGLE_ROWS = 8
NAMES = {"v1": "V1 JSON", "v2": "V2 JSON", "v2-binary": "V2 binary tensors", "grpc": "V2 gRPC"}


def check_truth(trial: Trial) -> None:
    """Makes all checks of this module."""
    trial.attempt("metadata", "the package's inputs and outputs", _metadata)
    closeness = f"each within {trial.spec.tolerance:g} of the package's own prediction"
    for protocol in trial.spec.asked:
        trial.attempt(f"parity over {NAMES[protocol]}", closeness, partial(_parity, protocol=protocol))
    if trial.spec.own and trial.rows.package.manifest.images:
        trial.attempt("images as pixels", closeness, _pixels)
    trial.attempt("batch of one = batch of many", f"within {trial.spec.tolerance:g}, in whatever order", _batches)
    trial.attempt("missing values", "as the package predicts them", _missing)
    if trial.rows.package.manifest.categorical:
        trial.attempt("unknown categories", "as the package predicts them", _unknown)
    if trial.spec.header:
        trial.attempt("digest", f"{trial.spec.header} of every answer is the package's digest", _digest)


def _metadata(trial: Trial) -> tuple[bool, str]:
    answer, manifest = trial.server.ask("GET", f"/v2/models/{trial.server.name}"), trial.rows.package.manifest
    metadata, fields = answer.json(), read_fields(answer, image_shapes(manifest))
    wrong = objections(manifest, fields, metadata, derived=trial.rows.derived)
    return not wrong, "; ".join(wrong) or f"{len(fields)} inputs, {len(metadata['outputs'])} outputs"


def _compare(trial: Trial, protocol: Protocol, columns: Columns) -> tuple[float, Outputs]:
    served = trial.asker.predict(protocol, columns).outputs
    return largest_difference(served, trial.rows.expected(columns)), served


def _parity(trial: Trial, protocol: Protocol) -> tuple[bool, str]:
    away, served = _compare(trial, protocol, trial.rows.columns)
    trial.findings.figures[f"parity_{protocol.replace('-', '_')}"] = away
    wrong = wrong_decisions(trial, served)
    text = f"{trial.rows.count} rows, at most {number(away)} away"
    if wrong:
        text += f"; {wrong} decisions are not those that follow from the predictions"
    return away <= trial.spec.tolerance and not wrong, text


def _pixels(trial: Trial) -> tuple[bool, str]:
    """Images sent as UINT8 tensors rather than files, over every V2 protocol that is asked over."""
    shapes = image_shapes(trial.rows.package.manifest)
    fields = tuple(Field(f.name, "UINT8", shapes[f.name]) if f.name in shapes else f for f in trial.asker.fields)
    expected, away = trial.rows.expected(trial.rows.columns), 0.0
    protocols = [protocol for protocol in trial.spec.asked if protocol != "v1"]
    with Asker(trial.server, fields) as asker:
        for protocol in protocols:
            away = max(away, largest_difference(asker.predict(protocol, trial.rows.columns).outputs, expected))
    text = f"{trial.rows.count} rows over {', '.join(NAMES[p] for p in protocols)}, at most {number(away)} away"
    return away <= trial.spec.tolerance, text


def wrong_decisions(trial: Trial, served: Outputs) -> int:
    """Counts rows whose served decision does not follow from the served prediction; 0 where none is served."""
    manifest = trial.rows.package.manifest
    decisions, values = served.get(manifest.label), served.get(manifest.outputs[0])
    if decisions is None or values is None or manifest.outputs[0] == manifest.label:
        return 0
    if manifest.task == "binary" and values.ndim == 1:
        close = np.abs(values.astype(np.float64) - manifest.threshold) <= trial.spec.tolerance
        return int(((decisions.astype(bool) != (values >= manifest.threshold)) & ~close).sum())
    if manifest.task == "multiclass" and values.ndim == 2 and manifest.classes:  # noqa: PLR2004
        ordered = np.sort(values, axis=1)
        close = ordered[:, -1] - ordered[:, -2] <= trial.spec.tolerance
        named = np.array(manifest.classes)[values.argmax(axis=1)]
        return int(((decisions.astype(str) != named) & ~close).sum())
    return 0


def _batches(trial: Trial) -> tuple[bool, str]:
    protocol, count = trial.spec.asked[0], trial.rows.count
    whole = trial.asker.predict(protocol, trial.rows.columns).outputs
    outputs = {name: whole[name] for name in trial.rows.package.manifest.outputs if name in whole}
    singles = list(range(0, count, max(1, count // SINGLE_ROWS)))[:SINGLE_ROWS]
    away = 0.0
    for row in singles:
        alone = trial.asker.predict(protocol, trial.rows.take([row])).outputs
        away = max(away, largest_difference(alone, {name: values[row : row + 1] for name, values in outputs.items()}))
    turned = trial.asker.predict(protocol, trial.rows.take(range(count - 1, -1, -1))).outputs
    away = max(away, largest_difference(turned, {name: values[::-1] for name, values in outputs.items()}))
    trial.findings.figures["batch_difference"] = away
    text = f"{len(singles)} rows alone and all {count} in turned order: at most {number(away)} away"
    return away <= trial.spec.tolerance, text


def _missing(trial: Trial) -> tuple[bool | Result, str]:
    away, rows = 0.0, 0
    for protocol in trial.spec.asked:
        columns = with_gaps(trial.rows, trial.asker.fields, binary=protocol in ("v2-binary", "grpc"))
        if not columns:
            return "skipped", "no input may be missing"
        if not all(np.isfinite(values).all() for values in trial.rows.expected(columns).values()):
            raise PlatformError(
                "the package itself answers no number where a value is missing: its graph must impute, or the problem "
                'must say skip: ["missing values"]'
            )
        away, rows = max(away, _compare(trial, protocol, columns)[0]), len(next(iter(columns.values())))
    return away <= trial.spec.tolerance, f"{rows} rows over each protocol, at most {number(away)} away"


def _unknown(trial: Trial) -> tuple[bool | Result, str]:
    columns = with_unknowns(trial.rows)
    if not columns:
        return "skipped", "requests hold no categorical input"
    away = max(_compare(trial, protocol, columns)[0] for protocol in trial.spec.asked)
    rows = len(next(iter(columns.values())))
    return away <= trial.spec.tolerance, f"{rows} rows over each protocol, at most {number(away)} away"


def _digest(trial: Trial) -> tuple[bool, str]:
    wrong = []
    for protocol in trial.spec.asked:
        said = trial.asker.predict(protocol, trial.rows.take([0])).headers.get(trial.spec.header)
        if said != trial.rows.package.digest:
            wrong.append(f"{NAMES[protocol]}: {said or 'none'}")
    return not wrong, "; ".join(wrong) or f"{trial.rows.package.digest} over each protocol"


def check_readiness(trial: Trial, seconds: float, objection: str) -> None:
    """Makes the check that must come first: a server that says that it is ready predicts.

    Args:
        trial: The trial.
        seconds: From the server's start until it said that it was ready.
        objection: What it said in that moment where a prediction belongs; empty where it predicted.
    """
    trial.findings.figures["ready_seconds"] = seconds

    def ready(trial: Trial) -> tuple[bool, str]:
        if objection:
            raise PlatformError(f"it said that it was ready after {seconds:.2f} s, and then: {objection}")
        for protocol in trial.spec.asked:
            trial.asker.predict(protocol, trial.rows.take([0]))
        if "grpc" in trial.spec.asked and not trial.asker.grpc.is_ready(trial.server.name):
            raise PlatformError("it is ready over HTTP and not over gRPC")
        other = trial.spec.ready_path.replace("{name}", f"no-{trial.server.name}")
        if other != trial.server.ready_path and trial.server.ask("GET", other).ok:
            raise PlatformError(f"it says that a model is ready which it does not have ({other})")
        return True, f"ready after {number(round(seconds, 2))} s, and predicts then"

    trial.attempt("readiness", "ready only once it predicts, and only for its own model", ready)
