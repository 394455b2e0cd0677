"""Numeric inputs that come as one tensor, or as V1 instances that are arrays, in the order of the model's inputs.

Sixteen numbers need not come as sixteen tensors of one value: `numeric` [N, F] goes into ONNX Runtime as it came.
Every value is still checked: numbers only, nothing that float32 cannot hold, NaN and null as the missing value, and
whatever the package declares.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead_serving.errors import RequestInvalidError
from fairlead_serving.query import Matrix

if TYPE_CHECKING:
    from fairlead_serving.fields import Schema

NUMBERS = {int, float}
LARGEST = float(np.finfo(np.float32).max)
INFINITE = float("inf")
FEW = 64


def read_values(values: list[Any], schema: "Schema", rows: int) -> Matrix:
    """Reads JSON values.

    Args:
        values: N * F values, row by row.
        schema: The fields; it has a matrix.
        rows: N.

    Returns:
        The columns.

    Raises:
        RequestInvalidError: A value does not fit.
    """
    kinds = set(map(type, values))
    if not kinds <= NUMBERS or max(values) > LARGEST or min(values) < -LARGEST:
        values = _read_slowly(values, schema)
    return _checked(np.array(values, dtype=np.float32).reshape(rows, len(schema.matrix)), schema)


def read_array(values: np.ndarray, schema: "Schema", rows: int) -> Matrix:
    """Reads an array that came as raw bytes; see `read_values`."""
    if values.dtype != np.float32:
        with np.errstate(over="ignore"):
            values = values.astype(np.float32)
    elif not values.flags.aligned:
        values = values.copy()
    if _has_infinity(values):
        place = int(np.isinf(values).argmax())
        raise RequestInvalidError(
            f"{_where(schema, place)} is infinite or does not fit 32-bit floating point; send a finite number, or NaN "
            "where it is unknown"
        )
    return _checked(values.reshape(rows, len(schema.matrix)), schema)


def read_instances(instances: Sequence[list[Any]], schema: "Schema") -> Matrix:
    """Reads V1 instances that are arrays of the numeric inputs; see `read_values`."""
    width = len(schema.matrix)
    for row, instance in enumerate(instances):
        if type(instance) is not list or len(instance) != width:
            what = f"an array of {len(instance)}" if type(instance) is list else f"a {type(instance).__name__}"
            raise RequestInvalidError(
                f"instances[{row}] is {what}; send arrays of {width} numbers in all rows, or objects in all"
            )
    values = instances[0] if len(instances) == 1 else [value for instance in instances for value in instance]
    return read_values(values, schema, len(instances))


def flatten(data: Any, rows: int, width: int) -> list[Any]:
    """Flattens the JSON data of a tensor [N, F]: N * F values, or N arrays of F.

    Raises:
        RequestInvalidError: It is neither.
    """
    if type(data) is list and data and type(data[0]) is list:
        if any(type(row) is not list or len(row) != width for row in data):
            raise RequestInvalidError(f"the data of input 'numeric' is ragged; send {rows} arrays of {width} values")
        data = [value for row in data for value in row]
    if type(data) is not list or len(data) != rows * width:
        count = len(data) if type(data) is list else "no array of"
        raise RequestInvalidError(f"input 'numeric' has the shape [{rows}, {width}] but {count} values")
    return data


def _has_infinity(values: np.ndarray) -> bool:
    if values.size <= FEW:  # NumPy's ufuncs take longer to start than this takes to look
        plain = values.tolist()
        return INFINITE in plain or -INFINITE in plain
    return bool(np.isinf(values).any())


def _read_slowly(values: list[Any], schema: "Schema") -> list[Any]:
    """Names the value that does not fit, or makes NaN of null."""
    read = schema.fields[schema.matrix[0]].read
    found = []
    for place, value in enumerate(values):
        try:
            number = read(value)
        except ValueError as error:
            from fairlead_serving.fields import shorten

            raise RequestInvalidError(f"{_where(schema, place)} is {shorten(value)}; send {error}") from None
        found.append(float("nan") if number is None else number)
    return found


def _checked(array: np.ndarray, schema: "Schema") -> Matrix:
    for name in schema.required:
        missing = np.isnan(array[:, schema.matrix.index(name)])
        if missing.any():
            raise RequestInvalidError(f"{name!r} of row {int(missing.argmax())} is missing; it must be known")
    for name, check in schema.checks.items():
        check.check(name, array[:, schema.matrix.index(name)].tolist())
    return Matrix(schema.matrix, array)


def _where(schema: "Schema", place: int) -> str:
    row, column = divmod(place, len(schema.matrix))
    return f"{schema.matrix[column]!r} of row {row}"
