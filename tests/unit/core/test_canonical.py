"""Canonical JSON is that of RFC 8785, by its own vectors."""

import json
import math
import struct
from typing import Any

import pytest

from fairlead.canonical import canonical

# RFC 8785, appendix B: an IEEE 754 double in hexadecimal, and its text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_are_written_as_ecmascript_writes_them(bits: str, text: str) -> None:
    """Each number of the RFC's table has the RFC's text."""
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


def test_texts_and_literals_are_those_of_the_rfc() -> None:
    """The example of section 3.2.2 gives the bytes of section 3.2.4."""
    source = (
        r'{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        r'"string": "\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}'
    )
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(json.loads(source)) == expected.encode()


def test_keys_are_sorted_by_utf_16_units() -> None:
    """The example of section 3.2.3: the emoji comes before the Hebrew letter."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = json.loads(canonical(dict.fromkeys(keys)), object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_one_number_has_one_text() -> None:
    """KFP turns 3 into 3.0 on its way: what was signed before must fit after."""
    assert canonical(2**60) == canonical(2.0**60) == b"1152921504606847000"
    assert canonical({"a": 3, "b": [1.0, -0.0]}) == canonical({"b": [1, 0], "a": 3.0})


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, 2**53 + 1, 10**400, "\ud800", {1: 2}, {"a": b"x"}, {"a": {1}}, object()]
)
def test_what_is_not_json_is_refused(value: Any) -> None:
    """A number, text, key or object that readers would take differently has no canonical form."""
    with pytest.raises((ValueError, TypeError)):
        canonical(value)
