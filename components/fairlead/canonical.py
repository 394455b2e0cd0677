"""Canonical JSON (RFC 8785): one text for one content, so that signatures and digests do not depend on formatting.

Written here because the libraries that do it would be one more dependency of everyone who checks a verdict, for the
sixty lines below, which the tests hold to the RFC's own vectors.
"""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

_EXACT = 2**53  # up to here every integer is a double, which is what JSON numbers are to most readers
_MOST_DIGITS, _LEAST_EXPONENT = 21, -6  # where ECMAScript changes to an exponent


def canonical(content: Any) -> bytes:
    """Serialises a JSON value: keys sorted, no spaces, numbers as ECMAScript writes them; 3 and 3.0 are one number.

    Args:
        content: Mappings with text keys, sequences, texts, numbers, booleans, None.

    Returns:
        UTF-8 text.

    Raises:
        ValueError: A number is not finite, or an integer that readers would round, or a text holds half a character.
        TypeError: A value is none of JSON's.
    """
    return _text(content).encode()


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, Mapping):
        members = sorted(value.items(), key=lambda member: _sort_key(member[0]))
        return "{" + ",".join(f"{_text(key)}:{_text(inner)}" for key, inner in members) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return "[" + ",".join(map(_text, value)) + "]"
    raise TypeError(f"a {type(value).__name__} has no place in JSON")


def _sort_key(key: Any) -> bytes:
    if not isinstance(key, str):
        raise TypeError(f"a {type(key).__name__} is no key of JSON")
    return key.encode("utf-16-be")  # the RFC sorts by UTF-16 units


def _number(value: float) -> str:
    if isinstance(value, int):
        if abs(value) < _EXACT:
            return str(value)
        if abs(value) >= 2**1024 or int(float(value)) != value:
            raise ValueError(f"the integer {value} is too large for JSON: readers would round it")
        return _number(float(value))
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    if value == 0:
        return "0"  # -0 too
    sign, figures, exponent = Decimal(repr(value)).as_tuple()
    digits = "".join(map(str, figures))
    point = len(digits) + int(exponent)  # digits before the decimal point
    return ("-" if sign else "") + _decimal(digits.rstrip("0"), point)


def _decimal(digits: str, point: int) -> str:
    """Number::toString of ECMAScript for DIGITS behind the point, times 10^point."""
    count = len(digits)
    if count <= point <= _MOST_DIGITS:
        return digits + "0" * (point - count)
    if 0 < point <= _MOST_DIGITS:
        return f"{digits[:point]}.{digits[point:]}"
    if _LEAST_EXPONENT < point <= 0:
        return "0." + "0" * -point + digits
    mantissa = digits if count == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{mantissa}e{point - 1:+d}"
