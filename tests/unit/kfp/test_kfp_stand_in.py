"""The stand-in is as strict as it says: what the API's models do not have is refused in both directions."""

import json

import pytest
import urllib3
from kfp_backend import kfp_backend
from kfp_models import ModelError, hold


@pytest.mark.parametrize(
    ("model", "content"),
    [
        ("V2beta1Run", {"run_id": "x", "name": "y"}),
        ("V2beta1Run", {"run_id": 1}),
        ("V2beta1Run", {"state": "DONE"}),
        ("V2beta1Run", {"run_details": {"task_details": [{"pod": "x"}]}}),
        ("V2beta1RecurringRun", {"max_concurrency": 1}),
        ("V2beta1Pipeline", []),
    ],
)
def test_models_are_held_to(model: str, content: object) -> None:
    """Unknown fields, wrong types, wrong words, at any depth."""
    with pytest.raises(ModelError):
        hold(model, content)


def test_good_message_passes() -> None:
    """A message as the models say is returned as it is."""
    message = {
        "run_id": "x",
        "state": "RUNNING",
        "created_at": "2026-11-21T10:00:00Z",
        "runtime_config": {"parameters": {"a": [1]}},
    }
    assert hold("V2beta1Run", message) == message


@pytest.mark.parametrize(
    ("path", "body"), [("/apis/v2beta1/experiments", {"name": "x"}), ("/apis/v2beta1/runs", {"display_name": 3})]
)
def test_request_with_a_wrong_field_fails_the_test(path: str, body: dict[str, object]) -> None:
    """The stand-in remembers what was not as the models say, and its end fails."""
    with pytest.raises(AssertionError, match=r"no field|is no str"), kfp_backend() as backend:
        urllib3.request("POST", backend.uri + path, body=json.dumps(body), retries=False)
