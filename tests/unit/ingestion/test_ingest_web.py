"""http and https addresses, against a real server on loopback."""

import gzip
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fairlead.datasets import read_manifest, read_table
from fairlead.errors import FairleadError, SourceError
from fairlead.ingestion import web
from fairlead.ingestion.ingest_dataset.task import ingest

CSV = b"n\n1\n2\n"


class Site(BaseHTTPRequestHandler):
    """Answers each path in its own way; `seen` counts the requests."""

    seen: dict[str, int]

    def do_GET(self) -> None:
        """Answer by path."""
        path = self.path.partition("?")[0]
        self.seen[path] = self.seen.get(path, 0) + 1
        if path == "/private.csv" and self.headers.get("Authorization") != "Basic YW5uOnMzY3JldA==":
            self.answer(401, b"")
        elif path == "/failing.csv" or (path == "/flaky.csv" and self.seen[path] < 3):
            self.answer(503, b"later")
        elif path == "/cut.csv":
            self.answer(200, CSV, length=1000)
        elif path in {"/packed.csv", "/data.csv.gz"}:
            self.answer(200, gzip.compress(CSV), encoding="gzip")
        elif path.endswith(".csv") and "missing" not in path:
            self.answer(200, CSV)
        else:
            self.answer(404, b"")

    def answer(self, status: int, body: bytes, length: int | None = None, encoding: str = "") -> None:
        """Send one answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the name that http.server gives)
        """Say nothing."""


@contextmanager
def served(context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run the site; give its address without the scheme."""
    handler = type("OwnSite", (Site,), {"seen": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """The site over http."""
    with served() as address:
        yield address


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait between attempts, and take no proxy of the developer's."""
    monkeypatch.setattr(web, "SECONDS_BETWEEN_ATTEMPTS", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("name", ["data.csv", "data.csv?key=s3cret", "packed.csv", "data.csv.gz", "flaky.csv"])
def test_files_are_fetched(tmp_path: Path, host: str, name: str) -> None:
    """Plain files, compressed answers, and servers that fail at first; nothing but the dataset stays behind."""
    ingest(tmp_path / "out", "t", f"http://{host}/{name}", {})
    assert read_table(tmp_path / "out")["n"].to_pylist() == [1, 2]
    assert [path.name for path in tmp_path.iterdir() if path.name != ".fairlead"] == ["out"]


def test_secrets_of_an_address_are_not_recorded(tmp_path: Path, host: str) -> None:
    """User, password and query stay out of the manifest and of errors."""
    ingest(tmp_path / "out", "t", f"http://ann:s3cret@{host}/private.csv?token=s3cret", {})
    assert read_manifest(tmp_path / "out").source == f"http://{host}/private.csv"
    with pytest.raises(SourceError) as caught:
        ingest(tmp_path / "out", "t", f"http://ann:s3cret@{host}/missing?token=s3cret", {"format": "csv"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.csv", "answered 404 .*check the address"),
        ("private.csv", "answered 401 .*credentials"),
        ("failing.csv", "answered 503 .* 3 times"),
        ("cut.csv", "3 times"),
        ("thing", "answered 404"),
    ],
)
def test_refusals_are_explained(tmp_path: Path, host: str, name: str, message: str) -> None:
    """Each kind of failure says what the server did; a file cut short is never taken for whole."""
    with pytest.raises(SourceError, match=message):
        ingest(tmp_path / "out", "t", f"http://{host}/{name}", {"format": "csv"})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/x.csv", "http://", "http://[/x.csv"])
def test_unreachable_addresses(tmp_path: Path, address: str) -> None:
    """No server, or no address at all, is an error of the source."""
    with pytest.raises(FairleadError, match=r"127\.0\.0\.1:1/x\.csv|address|http"):
        ingest(tmp_path / "out", "t", address, {"format": "csv"})


def test_certificates_are_verified(tmp_path: Path) -> None:
    """A server with a certificate of its own making is not trusted."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(["openssl", "req", *options, *names], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed; it makes the certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with served(context) as host:
        with pytest.raises(SourceError, match="certificate is not trusted"):
            ingest(tmp_path / "out", "t", f"https://{host}/data.csv", {})
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            assert ingest(tmp_path / "out", "t", f"https://{host}/data.csv", {}).manifest.row_count == 2
