"""A stand-in for KFP's launcher: what runs first in the container of a pipeline step, in the step's own image.

    python3 launcher.py DOCUMENT -- COMMAND ARGUMENT...

The real one (kubeflow/pipelines, backend/src/v2/component/launcher_v2.go) is a static Go program which an init
container copies into a volume; it needs KFP's metadata server. Copied from it are: the order (folders of outputs,
download of inputs, placeholders, the command, the file of outputs, upload); local paths (`s3://` is /s3/, `minio://` is
/minio/); only the first artifact of an input is downloaded; the parents of outputs are made with mode 0755, outputs
themselves are not; an output that the step did not write is skipped with a warning; numbers in `{{$}}` are written as
Go's protojson does, 3 and not 3.0; credentials come from the Secret `mlpipeline-minio-artifact` and the step does not
see them. Left out are: the metadata server (what came of the step is written to the object store instead, at
`result`), caching, Modelcars, and retries.

The standard library alone: the image under test need not hold an S3 client.
"""

import datetime as dt
import hashlib
import hmac
import http.client
import json
import os
import subprocess
import sys
import urllib.parse
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EMPTY = hashlib.sha256(b"").hexdigest()
LOCAL = {"s3": "/s3/", "minio": "/minio/", "gs": "/gcs/"}
CHUNK = 1 << 20


class Store:
    """An S3 server, spoken to with signature version 4."""

    def __init__(self, endpoint: str, user: str, password: str) -> None:
        self.address = urllib.parse.urlsplit(endpoint)
        self.user, self.password = user, password

    def request(self, method: str, path: str, query: dict[str, str], body: Any = b"", length: int = 0) -> Any:
        """Sends a signed request; the response, or an error with what the server said."""
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        words = urllib.parse.urlencode(sorted(query.items()), quote_via=urllib.parse.quote)
        quoted = urllib.parse.quote(path)
        content = "UNSIGNED-PAYLOAD" if method == "PUT" else EMPTY
        headers = {"host": self.address.netloc, "x-amz-content-sha256": content, "x-amz-date": now}
        names = ";".join(headers)
        canonical = "\n".join([method, quoted, words, *(f"{k}:{v}" for k, v in headers.items()), "", names, content])
        scope = f"{now[:8]}/us-east-1/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.password}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        signed = f"AWS4-HMAC-SHA256 Credential={self.user}/{scope}, SignedHeaders={names}, Signature={signature}"
        connection = http.client.HTTPConnection(self.address.netloc, timeout=60)
        sent = {**headers, "authorization": signed, "content-length": str(length)}
        connection.request(method, f"{quoted}?{words}" if words else quoted, body=body or None, headers=sent)
        response = connection.getresponse()
        if response.status != http.HTTPStatus.OK:
            raise OSError(f"{method} {path}: {response.status} {response.read().decode(errors='replace')[:500]}")
        return response

    def names(self, bucket: str, prefix: str) -> Iterator[str]:
        """The keys that begin with a prefix."""
        token = ""
        while True:
            query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
            tree = ET.fromstring(self.request("GET", f"/{bucket}", query).read())  # noqa: S314 - our own server
            yield from (str(key.text) for key in tree.iterfind("{*}Contents/{*}Key"))
            token = tree.findtext("{*}NextContinuationToken") or ""
            if not token:
                return

    def fetch(self, bucket: str, key: str, to: Path) -> None:
        """Downloads an object."""
        to.parent.mkdir(parents=True, exist_ok=True)
        response = self.request("GET", f"/{bucket}/{key}", {})
        with to.open("wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)

    def send(self, bucket: str, key: str, data: bytes | Path) -> None:
        """Uploads bytes or a file."""
        if isinstance(data, bytes):
            self.request("PUT", f"/{bucket}/{key}", {}, data, len(data)).read()
            return
        with data.open("rb") as file:
            self.request("PUT", f"/{bucket}/{key}", {}, file, data.stat().st_size).read()


def local_path(uri: str) -> Path:
    """Where KFP has an artifact in a step's file system."""
    scheme, _, rest = uri.partition("://")
    return Path(LOCAL[scheme] + rest)


def split(uri: str) -> tuple[str, str]:
    """The bucket and the key of an artifact."""
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key


def download(store: Store, uri: str) -> None:
    """Brings an artifact to its local path: a file, or everything below it."""
    bucket, key = split(uri)
    for name in store.names(bucket, key):
        if name == key or name.startswith(f"{key}/"):
            store.fetch(
                bucket, name, local_path(f"s3://{bucket}/{name}" if uri[:2] == "s3" else f"minio://{bucket}/{name}")
            )


def upload(store: Store, uri: str) -> None:
    """Puts what the step wrote at an artifact's local path into the object store."""
    path, (bucket, key) = local_path(uri), split(uri)
    if path.is_file():
        store.send(bucket, key, path)
    elif path.is_dir():
        for file in sorted(found for found in path.rglob("*") if found.is_file()):
            store.send(bucket, f"{key}/{file.relative_to(path)}", file)
    else:
        sys.stdout.write(f"launcher: nothing was written at {path}\n")


def artifacts(part: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each name and its first artifact."""
    for name, held in part.get("artifacts", {}).items():
        if held.get("artifacts"):
            yield name, held["artifacts"][0]


def prepare(executor_input: dict[str, Any]) -> None:
    """Makes the folders above outputs."""
    outputs = executor_input.get("outputs", {})
    for parameter in outputs.get("parameters", {}).values():
        Path(parameter["outputFile"]).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    for _, artifact in artifacts(outputs):
        local_path(artifact["uri"]).parent.mkdir(parents=True, exist_ok=True, mode=0o755)


def fill(words: list[str], executor_input: dict[str, Any]) -> list[str]:
    """Puts the executor's input into the command."""
    text = json.dumps(executor_input, separators=(",", ":"))
    return [word.replace("{{$}}", text) for word in words]


def collect(executor_input: dict[str, Any]) -> dict[str, Any]:
    """What the step said of its outputs."""
    file = Path(executor_input["outputs"]["outputFile"])
    said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    said.setdefault("parameterValues", {})
    for name, parameter in executor_input["outputs"].get("parameters", {}).items():
        if name not in said["parameterValues"]:
            said["parameterValues"][name] = Path(parameter["outputFile"]).read_text(encoding="utf-8")
    return said


def main(words: list[str]) -> int:
    """Runs one step."""
    document, command = Path(words[0]), words[words.index("--") + 1 :]
    given = json.loads(document.read_text(encoding="utf-8"))
    secret = [os.environ.pop(name) for name in ("LAUNCHER_ENDPOINT", "LAUNCHER_USER", "LAUNCHER_PASSWORD")]
    store, executor_input = Store(*secret), given["executorInput"]
    prepare(executor_input)
    for _, artifact in artifacts(executor_input.get("inputs", {})):
        download(store, artifact["uri"])
    ended = subprocess.run(fill(command, executor_input), check=False)
    if ended.returncode:
        return ended.returncode
    result = collect(executor_input)
    for _, artifact in artifacts(executor_input["outputs"]):
        upload(store, artifact["uri"])
    store.send(*split(given["result"]), json.dumps(result).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
