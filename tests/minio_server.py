"""The real MinIO for tests: its program found or built once, a server with or without TLS, and a proxy that cuts.

The program is what FAIRLEAD_TEST_MINIO names, or `minio` on the path, or is built by Go into a cache (minutes, once);
where there is none of these, the tests are skipped.
"""

import datetime as dt
import ipaddress
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import pytest
import urllib3

MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
USER, PASSWORD = "tester", "tester-secret"
_GIVEN = os.environ.get("FAIRLEAD_TEST_MINIO", "")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fairlead-tests"


@dataclass(frozen=True)
class MinioServer:
    """A server that runs.

    Attributes:
        endpoint: http(s)://127.0.0.1:PORT.
        ca_file: The certificate of who signed its own; None without TLS.
        folder: Where it keeps its objects.
        region: Its region, if it was given one.
    """

    endpoint: str
    ca_file: Path | None
    folder: Path
    region: str = ""

    @property
    def port(self) -> int:
        """The port."""
        return int(self.endpoint.rpartition(":")[2])

    def client(self) -> Any:
        """The client of one who may do everything."""
        from minio import Minio

        retries = urllib3.Retry(total=0)  # while it starts it answers 503 and asks to come again after a minute
        pool = urllib3.PoolManager(ca_certs=str(self.ca_file) if self.ca_file else None, retries=retries)
        secure = self.endpoint.startswith("https")
        place = self.endpoint.partition("://")[2]
        return Minio(place, USER, PASSWORD, secure=secure, region=self.region or None, http_client=pool)

    def make_bucket(self, name: str = "") -> str:
        """Makes a bucket, by default one that nobody else has, and gives its name."""
        name = name or f"b-{uuid.uuid4().hex[:12]}"
        self.client().make_bucket(name, self.region or None)
        return name

    def settings(self) -> dict[str, str]:
        """The environment with which fairlead reaches it."""
        trusted = {"FAIRLEAD_S3_CA_FILE": str(self.ca_file)} if self.ca_file else {}
        keys = {"AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD}
        return {"FAIRLEAD_S3_ENDPOINT": self.endpoint, **keys, **trusted}


def minio_program() -> str:
    """The program; skips the test where there is none."""
    found = _GIVEN or shutil.which("minio")
    if found:
        return found
    built, go = _CACHE / MODULE.rpartition("@")[2] / "minio", shutil.which("go")
    if not built.exists():
        if go is None:
            pytest.skip("no MinIO: set FAIRLEAD_TEST_MINIO to its program, or install `minio` or Go")
        _build(go, built)
    return str(built)


def _build(go: str, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(program.parent / ".lock"):
        if not program.exists():
            environment = {**os.environ, "GOBIN": str(program.parent / "new")}
            made = subprocess.run([go, "install", MODULE], env=environment, capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"MinIO cannot be built: {made.stderr[-300:]}")
            (program.parent / "new" / "minio").replace(program)


@contextmanager
def run_minio(folder: Path, *, tls: bool = False, region: str = "", port: int = 0) -> Iterator[MinioServer]:
    """Runs a server while the block lasts.

    Args:
        folder: Where it keeps everything.
        tls: Whether it speaks TLS, with a certificate of an authority that nobody trusts yet.
        region: Its region.
        port: Where it listens; 0: at a free port.

    Yields:
        The server.
    """
    program = minio_program()
    certificates, data = folder / "certificates", folder / "data"
    if tls:
        make_certificates(certificates)
    port = port or free_port()
    command = [
        program, "server", "--quiet", "--certs-dir", str(certificates),
        "--address", f"127.0.0.1:{port}", "--console-address", f"127.0.0.1:{free_port()}", str(data),
    ]  # fmt: skip
    quiet = {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", **({"MINIO_SITE_REGION": region} if region else {})}
    environment = {**os.environ, **quiet, "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}
    server = MinioServer(
        f"{'https' if tls else 'http'}://127.0.0.1:{port}", certificates / "ca.crt" if tls else None, data, region
    )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_ready(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait(30)


def _wait_until_ready(server: MinioServer, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        with suppress(Exception):
            server.client().list_buckets()
            return
        time.sleep(0.05)
    pytest.fail(log.read_text())


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_certificates(folder: Path) -> None:
    """Makes an authority (ca.crt) and a server's certificate that it signed (public.crt, private.key)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def signed(subject: str, key: Any, extension: x509.ExtensionType, *, usage: x509.KeyUsage) -> x509.Certificate:
        now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
        made = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name("authority"))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - day).not_valid_after(now + day)
        made = made.add_extension(extension, critical=False).add_extension(usage, critical=True)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return made.sign(authority, hashes.SHA256())

    def usage(*, signs: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
        )  # fmt: skip

    folder.mkdir(parents=True, exist_ok=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    basic = x509.BasicConstraints(ca=True, path_length=None)
    pem = serialization.Encoding.PEM
    (folder / "ca.crt").write_bytes(signed("authority", authority, basic, usage=usage(signs=True)).public_bytes(pem))
    (folder / "public.crt").write_bytes(signed("minio", key, here, usage=usage(signs=False)).public_bytes(pem))
    plain = serialization.NoEncryption()
    (folder / "private.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


class CuttingProxy:
    """A TCP proxy that cuts connections in the middle.

    Args:
        port: Where it leads, on this machine.
        cuts: How many connections it cuts; the others pass.
        after: After how many bytes of one direction.
        upstream: Whether what clients send is counted, or what servers answer.
        on_cut: Is called when the server's end is closed and the client's is not yet.
    """

    def __init__(
        self, port: int, *, cuts: int, after: int, upstream: bool, on_cut: Callable[[], object] = lambda: None
    ) -> None:
        self.cuts, self.after, self.upstream, self.cut = cuts, after, upstream, 0
        self._port, self._lock, self._on_cut = port, threading.Lock(), on_cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accepts no more."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for source, sink, counted in ((client, server, self.upstream), (server, client, not self.upstream)):
                threading.Thread(target=self._pass, args=(source, sink, counted), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        passed = 0
        with suppress(OSError):
            while piece := source.recv(65536):
                passed += len(piece)
                if counted and passed > self.after and self._may_cut():
                    (sink if self.upstream else source).close()
                    self._on_cut()
                    break
                sink.sendall(piece)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _may_cut(self) -> bool:
        with self._lock:
            if self.cut >= self.cuts:
                return False
            self.cut += 1
            return True


def use(server: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads the environment to a server, and takes the developer's own credentials away."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
