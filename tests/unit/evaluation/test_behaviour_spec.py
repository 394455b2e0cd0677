"""The section `behaviour`: what it refuses, and how amounts are read."""

from typing import Any

import pytest

from fairlead.errors import ConfigurationError
from fairlead.evaluation.behaviour_spec import BehaviourSpec, ChangeSpec

CHANGE = {"column": "hour", "add": 1}


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ({"kind": "invariance"}, "needs `change`"),
        ({"kind": "minimum-functionality"}, "needs `expect`"),
        ({"kind": "directional", "change": CHANGE}, "needs `direction`"),
        ({"kind": "directional", "direction": "up"}, "needs `change`"),
        ({"kind": "invariance", "change": CHANGE, "by": 0.1}, "`by` means nothing in a test of kind invariance"),
        ({"kind": "directional", "change": CHANGE, "direction": "not_up", "by": 0.1}, "take `up` or `down`"),
        ({"kind": "invariance", "change": {"column": "hour"}}, "got none"),
        ({"kind": "invariance", "change": {"column": "hour", "add": 1, "multiply": 2}}, "got add, multiply"),
        ({"kind": "invariance", "change": [CHANGE, CHANGE]}, "a column is changed twice"),
        (
            {"kind": "invariance", "change": [{"column": "a", "add": [1, 2]}, {"column": "b", "add": [1, 2, 3]}]},
            "sequences that go together have one length",
        ),
        ({"kind": "minimum-functionality", "expect": {}}, "say what is expected"),
        ({"kind": "minimum-functionality", "expect": {"answer": 1}, "where": {"a": {}}}, "give a value, a list"),
        ({"kind": "minimum-functionality", "expects": {}}, "did you mean 'expect'"),
        (
            {"kind": "minimum-functionality", "expect": {"answer": 1}, "rows": [{"a": 1}], "where": {"a": 1}},
            "nothing to filter",
        ),
    ],
)
def test_mistakes_are_refused_with_the_way_out(test: dict[str, Any], message: str) -> None:
    """Every refusal says what is wrong in which test."""
    with pytest.raises(ConfigurationError, match=message):
        BehaviourSpec.parse({"tests": [{"name": "mine", **test}]}, "behaviour")


def test_names_are_unique_and_tests_are_there() -> None:
    """Two tests of one name could not be told apart in figures."""
    test = {"name": "mine", "kind": "invariance", "change": CHANGE, "tolerance": 0.1}
    with pytest.raises(ConfigurationError, match="two tests are named 'mine'"):
        BehaviourSpec.parse({"tests": [test, test]}, "behaviour")
    with pytest.raises(ConfigurationError, match="at least 1 item"):
        BehaviourSpec.parse({"tests": []}, "behaviour")


@pytest.mark.parametrize(
    ("change", "name", "amounts"),
    [
        ({"add": 0}, "add", (0,)),
        ({"set": 0}, "set", (0,)),
        ({"set": ["a", "b"]}, "set", ("a", "b")),
        ({"multiply": [0.5, 2]}, "multiply", (0.5, 2)),
        ({"shift": [1, 0]}, "shift", ((1, 0),)),
        ({"shift": [[1, 0], [0, 1]]}, "shift", ((1, 0), (0, 1))),
        ({"crop": 2.0}, "crop", (2,)),
        ({"invert": True}, "invert", (True,)),
        ({"swap": "b"}, "swap", ("b",)),
    ],
)
def test_amounts_are_a_sequence(change: dict[str, Any], name: str, amounts: tuple[Any, ...]) -> None:
    """One amount is a sequence of one; 0 is an amount."""
    found = ChangeSpec.parse({"column": "a", **change}, "change")
    assert (found.name, found.amounts) == (name, amounts)
    assert found.is_sequence == (len(amounts) > 1)
