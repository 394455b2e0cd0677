"""The proof that a server is the one that was meant, and answers as its package does."""

import base64
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from fairlead.errors import PlatformError
from fairlead_serving.package import ModelPackage

REFERENCE = "fairlead/reference.parquet"
DIGEST_HEADER = "x-fairlead-digest"
_TOLERANCE = 1e-4  # float32 on the way through JSON
_TIMEOUT_SECONDS = 10.0


def prove(package: ModelPackage, name: str, address: str, headers: Mapping[str, str] | None = None) -> str:
    """Asks a server directly for one real prediction, and compares it with the package's own.

    A model whose features are looked up at request time cannot be asked with a row of its reference sample, which holds
    no request; there the server's digest and readiness are the proof.

    Args:
        package: What the server is to serve.
        name: The service's name.
        address: The server's own address, such as `http://127.0.0.1:40123`.
        headers: What leads a request to this version where the address alone does not.

    Returns:
        What was proven, in a sentence.

    Raises:
        PlatformError: The server is another one, does not answer, or answers otherwise than the package.
    """
    with httpx.Client(
        base_url=address, headers=dict(headers or {}), timeout=_TIMEOUT_SECONDS, trust_env=False
    ) as client:
        _check_digest(_ask(client, "GET", f"/v2/models/{name}"), package.digest)
        row = reference_row(package.path)
        wanted = _fields(package)
        if any(field not in row for field in wanted):
            return "it is ready and serves the digest that was registered"
        instance = {field: plain(row[field]) for field in wanted}
        answer = _ask(client, "POST", f"/v1/models/{name}:predict", {"instances": [instance]})
    output = package.manifest.outputs[0]
    return _compare(package, row, output, np.asarray(answer.json()["predictions"][0][output], dtype=np.float64))


def reference_row(package: Path) -> dict[str, Any]:
    """The first row of a package's reference sample; empty where it has none."""
    import pyarrow.parquet as pq

    file = package / REFERENCE
    if not file.is_file():
        return {}
    rows = pq.read_table(file).slice(0, 1).to_pylist()
    return dict(rows[0]) if rows else {}


def plain(value: Any) -> Any:
    """A value as JSON can carry it: NaN as null, moments as ISO text, files in base64."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def _fields(package: ModelPackage) -> list[str]:
    request = package.manifest.request
    return list(request["fields"]) if request else [model_input.name for model_input in package.manifest.inputs]


def _compare(package: ModelPackage, row: dict[str, Any], output: str, served: "np.ndarray[Any, Any]") -> str:
    inputs = [model_input.name for model_input in package.manifest.inputs]
    answer = ", ".join(f"{part:.4f}" for part in np.atleast_1d(served))
    if any(name not in row for name in inputs):
        return f"it answered a reference row with {answer}"
    own = package.predict({name: [row[name]] for name in inputs})[output][0]
    if served.shape != np.shape(own) or not np.allclose(own, served, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise PlatformError(f"the server answers {answer} where its package answers {own}; it must not serve")
    return f"it answered a reference row with {answer}, as its package does"


def _ask(client: httpx.Client, method: str, path: str, content: Any = None) -> httpx.Response:
    try:
        answer = client.request(method, path, json=content)
    except httpx.TransportError as error:
        raise PlatformError(f"the server does not answer {path} ({type(error).__name__})") from None
    if not answer.is_success:
        raise PlatformError(f"the server answers {path} with {answer.status_code}: {answer.text[:500]}")
    return answer


def _check_digest(answer: httpx.Response, digest: str) -> None:
    served = answer.headers.get(DIGEST_HEADER)
    if served != digest:
        raise PlatformError(f"the server says that it serves {served}, but {digest} was registered")
