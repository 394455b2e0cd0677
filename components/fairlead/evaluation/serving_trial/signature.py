"""What a model's server must say that it takes and gives, and what it does say."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_trial.payloads import FLOATS, NUMPY, Field
from fairlead.evaluation.serving_trial.plain_http import Answer
from fairlead_serving.package import Manifest, ModelInput

NUMBERS = frozenset(NUMPY) - {"BOOL"}


def read_fields(answer: Answer, shapes: Mapping[str, tuple[int, ...]]) -> tuple[Field, ...]:
    """Reads the inputs of V2 model metadata.

    Args:
        answer: The answer to GET /v2/models/{name}.
        shapes: By name, the shape of an image; an input of this name that is not BYTES is sent as such pixels.

    Raises:
        PlatformError: It is no such metadata.
    """
    try:
        inputs = answer.json()["inputs"]
        return tuple(_field(entry, shapes) for entry in inputs)
    except (ValueError, KeyError, TypeError) as error:
        raise PlatformError(
            f"GET of the model's metadata gave status {answer.status} and no inputs ({type(error).__name__}): "
            f"{answer.text(120)!r}"
        ) from None


def askable(fields: Sequence[Field], columns: Mapping[str, Any]) -> tuple[Field, ...]:
    """The fields that there are values for, as they are sent.

    Args:
        fields: What the server says that it takes.
        columns: The rows, by field.

    Raises:
        PlatformError: There are none.
    """
    found = tuple(field for field in fields if field.name in columns)
    if not found:
        said = ", ".join(field.name for field in fields) or "nothing"
        raise PlatformError(f"the server says that it takes {said}; the model's inputs are {', '.join(columns)}")
    return found


def _field(entry: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Field:
    name, datatype = str(entry["name"]), str(entry["datatype"])
    if datatype not in NUMPY and datatype != "BYTES":
        raise ValueError(f"datatype {datatype!r}")
    return Field(name, datatype, () if datatype == "BYTES" else shapes.get(name, ()))


def image_shapes(manifest: Manifest) -> dict[str, tuple[int, ...]]:
    """The shape of each image, by name."""
    return {item.name: item.shape for item in manifest.images}


def objections(manifest: Manifest, fields: Sequence[Field], metadata: Mapping[str, Any], *, derived: bool) -> list[str]:
    """Compares a server's metadata with the package's signature.

    Args:
        manifest: What the package is.
        fields: What the server says that it takes.
        metadata: All that it says.
        derived: Whether requests hold the fields of the package's request rather than its inputs.

    Returns:
        A sentence for each difference.
    """
    found = []
    wanted = list((manifest.request or {})["fields"]) if derived else [item.name for item in manifest.inputs]
    said = [field.name for field in fields]
    if sorted(said) != sorted(wanted):
        found.append(f"it says that it takes {', '.join(said)}; the package takes {', '.join(wanted)}")
    by_name = {field.name: field for field in fields}
    found += [
        f"it takes {item.name} ({item.kind}) as {by_name[item.name].datatype}"
        for item in (() if derived else manifest.inputs)
        if item.name in by_name and by_name[item.name].datatype not in _datatypes(item)
    ]
    given = [str(entry.get("name")) for entry in metadata.get("outputs", ())]
    absent = [name for name in manifest.outputs if name not in given]
    if absent:
        found.append(f"it does not give {', '.join(absent)}; it says that it gives {', '.join(given) or 'nothing'}")
    return found


def _datatypes(item: ModelInput) -> frozenset[str]:
    if item.kind == "numeric":
        return NUMBERS
    return frozenset({"BYTES"}) if item.kind == "categorical" else frozenset({"BYTES", "UINT8", *FLOATS})
