"""Does the server refuse what is malformed: with 4xx or INVALID_ARGUMENT and a text, and go on serving?"""

from fairlead.evaluation.serving_trial.asking import largest_difference
from fairlead.evaluation.serving_trial.plain_http import ConnectionLostError, Request, send_raw
from fairlead.evaluation.serving_trial.process import HOST
from fairlead.evaluation.serving_trial.signature import image_shapes
from fairlead.evaluation.validate_server.grpc_faults import REFUSALS, grpc_faults
from fairlead.evaluation.validate_server.http_faults import Fault, http_faults
from fairlead.evaluation.validate_server.trial import Refusal, Trial
from fairlead.values import number

SHORTEST_TEXT = 4  # characters: what is shorter tells a client nothing
GARBAGE = (
    b"GARBAGE\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of a TLS handshake
)


def check_refusals(trial: Trial) -> None:
    """Sends everything malformed, one after the other, and then something valid."""
    trial.attempt("malformed requests over REST", "4xx with a text, every time", _over_http)
    if "grpc" in trial.spec.asked:
        trial.attempt("malformed requests over gRPC", "INVALID_ARGUMENT or its like with a text", _over_grpc)
    trial.attempt("no HTTP at all, clients that hang up", "the server goes on", _garbage)
    trial.attempt("valid requests after all that", "answered as before", _still_serves)


def _over_http(trial: Trial) -> tuple[bool, str]:
    row = trial.rows.take([0])
    pictures = image_shapes(trial.rows.package.manifest)
    faults = http_faults(trial.server.name, trial.spec.asked, trial.asker.fields, row, pictures)
    wanted = [fault for fault in faults if fault.name not in trial.spec.skip]
    return _summary(trial, [_ask(trial, fault) for fault in wanted], len(faults) - len(wanted))


def _ask(trial: Trial, fault: Fault) -> Refusal:
    try:
        answer = trial.server.ask(fault.method, fault.path, fault.request)
    except ConnectionLostError as error:
        return Refusal("REST", fault.name, "none", str(error), "the connection was dropped without an answer")
    status, text = str(answer.status), answer.text()
    if answer.ok and fault.may_succeed:
        return Refusal("REST", fault.name, status, "", "")
    if answer.ok:
        return Refusal("REST", fault.name, status, text, "it was taken for a valid request")
    if not 400 <= answer.status < 500:  # noqa: PLR2004
        return Refusal("REST", fault.name, status, text, "the fault is the client's, which 4xx says")
    return Refusal("REST", fault.name, status, text, "" if len(text) >= SHORTEST_TEXT else "no text says what is wrong")


def _over_grpc(trial: Trial) -> tuple[bool, str]:
    faults = list(grpc_faults(trial.server.name, trial.asker.fields, trial.rows.take([0])))
    wanted = [(name, request) for name, request in faults if f"grpc: {name}" not in trial.spec.skip]
    found = []
    for name, request in wanted:
        answer = trial.asker.grpc.call("ModelInfer", request)
        objection = ""
        if answer.code == "OK":
            objection = "it was taken for a valid request"
        elif answer.code not in REFUSALS:
            objection = "the fault is the client's, which this status does not say"
        elif len(answer.text) < SHORTEST_TEXT:
            objection = "no text says what is wrong"
        found.append(Refusal("gRPC", f"grpc: {name}", answer.code, answer.text[:300], objection))
    return _summary(trial, found, len(faults) - len(wanted))


def _summary(trial: Trial, found: list[Refusal], skipped: int) -> tuple[bool, str]:
    trial.findings.refusals += found
    wrong = [refusal for refusal in found if refusal.objection]
    text = f"{len(found) - len(wrong)} of {len(found)} answered as they should be"
    if skipped:
        text += f", {skipped} skipped as the problem says"
    if wrong:
        listed = "; ".join(f"{refusal.name} ({refusal.status}: {refusal.objection})" for refusal in wrong[:4])
        text += f"; not: {listed}" + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")  # noqa: PLR2004
    trial.findings.figures["malformed_requests"] = trial.findings.figures.get("malformed_requests", 0.0) + len(found)
    trial.findings.figures["malformed_accepted"] = trial.findings.figures.get("malformed_accepted", 0.0) + len(wrong)
    return not wrong, text


def _garbage(trial: Trial) -> tuple[bool, str]:
    answers = [send_raw(HOST, trial.server.port, content) for content in GARBAGE]
    answered = sum(answer.startswith(b"HTTP/1.") for answer in answers)
    crashed = [answer for answer in answers if answer.startswith(b"HTTP/1.1 5")]
    alive = trial.server.ask("GET", trial.server.ready_path, Request(b"", {})).ok
    text = f"{len(GARBAGE)} times, {answered} answered, {'ready' if alive else 'not ready'} after"
    if crashed:
        text += f"; {len(crashed)} answered with 5xx, as if the fault were the server's"
    return alive and not crashed, text


def _still_serves(trial: Trial) -> tuple[bool, str]:
    expected, away = trial.rows.expected(trial.rows.columns), 0.0
    for protocol in trial.spec.asked:
        served = trial.asker.predict(protocol, trial.rows.columns).outputs
        away = max(away, largest_difference(served, expected))
    return away <= trial.spec.tolerance, f"{trial.rows.count} rows over each protocol, at most {number(away)} away"
