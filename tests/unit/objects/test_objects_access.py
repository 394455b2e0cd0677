"""Keys, sessions, buckets, regions, clocks and certificates, against the real MinIO: each refusal says what to do."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import minio.time
import pytest
from minio.credentials.providers import AssumeRoleProvider, StaticProvider
from minio.minioadmin import MinioAdmin
from minio_server import PASSWORD, USER, MinioServer, free_port, run_minio, use

from fairlead.errors import ConfigurationError, FairleadError, PlatformError
from fairlead.objects import Objects

pytest_plugins = ("minio_fixtures",)

VERBS = ["read_bytes", "exists", "find_version", "remove"]
READ_ONE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::*/mine/*"]}],
}


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A server that speaks TLS, in a region of its own."""
    with run_minio(tmp_path_factory.mktemp("secure"), tls=True, region="eu-moon-1") as server:
        yield server


@pytest.mark.parametrize("region", ["", "us-east-1"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "does not know the key; check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "the secret is wrong; check AWS_SECRET_ACCESS_KEY"),
        ("AWS_SESSION_TOKEN", "wrong-token", "AWS_SESSION_TOKEN is wrong or has expired"),
    ],
)
def test_wrong_keys_are_told_by_every_verb(
    bucket: str, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str, verb: str, region: str
) -> None:
    """The variable to check is named, also where the server's own answer has no text; no secret is in it."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_REGION", region)
    objects = Objects.connect()
    with pytest.raises(ConfigurationError, match=message) as caught:
        getattr(objects, verb)(f"s3://{bucket}/key")
    assert PASSWORD not in str(caught.value)
    assert "wrong-secret" not in str(caught.value)


@pytest.mark.parametrize("region", ["", "us-east-1"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket_is_not_taken_for_a_missing_object(
    bucket: str, monkeypatch: pytest.MonkeyPatch, verb: str, region: str
) -> None:
    """A bucket that is not there is an error of every verb, also of one that asks whether something exists."""
    monkeypatch.setenv("AWS_REGION", region)
    objects = Objects.connect()
    with pytest.raises(ConfigurationError, match=r"s3://no-such-bucket/key: there is no such bucket"):
        getattr(objects, verb)("s3://no-such-bucket/key")


def test_writes_and_lists_tell_too(bucket: str, tmp_path: Path) -> None:
    """Uploads, folders and lists name the bucket that is missing."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    objects = Objects.connect()
    for work in (
        lambda: objects.upload_file(tmp_path / "folder" / "file", "s3://no-such-bucket/key"),
        lambda: objects.write_bytes("s3://no-such-bucket/key", b""),
        lambda: objects.replace_bytes("s3://no-such-bucket/key", b"", None),
        lambda: objects.upload_folder(tmp_path / "folder", "s3://no-such-bucket/folder"),
        lambda: list(objects.list("s3://no-such-bucket")),
        lambda: objects.remove_folder("s3://no-such-bucket/folder"),
    ):
        with pytest.raises(ConfigurationError, match="there is no such bucket"):
            work()


@pytest.mark.parametrize("name", ["UPPER", "a", "under_score", "192.168.1.1"])
def test_names_that_no_bucket_can_have(bucket: str, name: str) -> None:
    """What the client refuses before it asks is told in the same way."""
    with pytest.raises(ConfigurationError, match=rf"s3://{name}/key"):
        Objects.connect().read_bytes(f"s3://{name}/key")


def test_half_of_the_credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret is not taken for anonymous access."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="AWS_SECRET_ACCESS_KEY is not set"):
        Objects.connect()


def test_reading_anonymously(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials public buckets are read, and others are denied."""
    objects = Objects.connect()
    objects.write_bytes(f"s3://{bucket}/key", b"1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError, match="access is denied"):
        Objects.connect().read_bytes(f"s3://{bucket}/key")
    everybody = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": ["s3:GetObject", "s3:GetBucketLocation"]}
    statement = {**everybody, "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]}
    minio.client().set_bucket_policy(bucket, json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    assert Objects.connect().read_bytes(f"s3://{bucket}/key") == b"1"


def _session(server: MinioServer, user: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leads the environment to short-lived credentials of a user."""
    made = AssumeRoleProvider(sts_endpoint=server.endpoint, access_key=user, secret_key=secret).retrieve()
    for name, value in zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"), (made.access_key, made.secret_key), strict=True):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SESSION_TOKEN", str(made.session_token))


def test_a_session(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short-lived credentials work for all they may do, and for nothing else."""
    admin = MinioAdmin(endpoint=f"127.0.0.1:{minio.port}", credentials=StaticProvider(USER, PASSWORD), secure=False)
    admin.policy_add("readone", policy=READ_ONE)
    admin.user_add("visitor", "visitor-secret")
    admin.attach_policy(["readone"], user="visitor")
    Objects.connect().write_bytes(f"s3://{bucket}/mine/key", b"1")
    _session(minio, "visitor", "visitor-secret", monkeypatch)
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # whoever names it needs no right to ask the bucket for it
    visitor = Objects.connect()
    assert visitor.read_bytes(f"s3://{bucket}/mine/key") == b"1"
    for work in (
        lambda: visitor.read_bytes(f"s3://{bucket}/key"),
        lambda: visitor.write_bytes(f"s3://{bucket}/mine/key", b"2"),
        lambda: list(visitor.list(f"s3://{bucket}")),
    ):
        with pytest.raises(ConfigurationError, match="access is denied; check the policy of AWS_ACCESS_KEY_ID"):
            work()


def test_a_session_that_is_over(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MinIO does not know the key of a session that is over (and gives none for less than 15 minutes): it is said."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "PG2X8F7T4GV5PS3J8Q1Z")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.e30.c2ln")
    with pytest.raises(ConfigurationError, match="the session may have expired: get new credentials"):
        Objects.connect().read_bytes(f"s3://{bucket}/key")


def test_a_clock_that_is_wrong(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose clock is off is told so, not that its secret is wrong."""
    late = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    monkeypatch.setattr(minio.time, "utcnow", lambda: late)
    with pytest.raises(PlatformError, match="clock and the server's differ; set it right"):
        Objects.connect().exists(f"s3://{bucket}/key")


def test_nobody_answers(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is down, or no server of that name."""
    for endpoint in (f"http://127.0.0.1:{free_port()}", "http://no-such-host.invalid:9000"):
        monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", endpoint)
        with pytest.raises(PlatformError, match=rf"{endpoint} gives no answer .* check s3_endpoint"):
            Objects.connect().exists(f"s3://{bucket}/key")


def test_tls_is_verified(secure: MinioServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate of an authority that nobody trusts is refused; with that authority's it is accepted."""
    use(secure, monkeypatch)
    bucket = secure.make_bucket()
    Objects.connect().write_bytes(f"s3://{bucket}/key", b"1")
    assert Objects.connect().read_bytes(f"s3://{bucket}/key") == b"1"
    monkeypatch.delenv("FAIRLEAD_S3_CA_FILE")
    with pytest.raises(ConfigurationError, match=r"certificate of https://127.0.0.1:\d+ is not trusted .*S3_CA_FILE"):
        Objects.connect().read_bytes(f"s3://{bucket}/key")


def test_tls_by_another_name(secure: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate counts for the names in it only."""
    use(secure, monkeypatch)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", f"https://localhost:{secure.port}")
    with pytest.raises(ConfigurationError, match=r"is not trusted .*(mismatch|not valid for)"):
        Objects.connect().exists("s3://bucket/key")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    """The setting that is wrong is named."""
    file = tmp_path / "ca.crt"
    if content:
        file.write_text(content)
    monkeypatch.setenv("FAIRLEAD_S3_CA_FILE", str(file))
    with pytest.raises(ConfigurationError, match=r"setting s3_ca_file: .*ca.crt"):
        Objects.connect()


@pytest.mark.parametrize(("ours", "theirs"), [("http", "https"), ("https", "http")])
def test_tls_on_one_side_only(
    bucket: str, minio: MinioServer, secure: MinioServer, monkeypatch: pytest.MonkeyPatch, ours: str, theirs: str
) -> None:
    """The scheme must be the server's."""
    port = (secure if theirs == "https" else minio).port
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", f"{ours}://127.0.0.1:{port}")
    with pytest.raises(FairleadError, match=r"s3_endpoint|http:// or https://"):
        Objects.connect().exists(f"s3://{bucket}/key")


def test_regions(secure: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket's region is asked for; a wrong one that was given is told."""
    use(secure, monkeypatch)
    bucket = secure.make_bucket()
    for region in ("", "eu-moon-1"):
        monkeypatch.setenv("AWS_REGION", region)
        assert not Objects.connect().exists(f"s3://{bucket}/key")
    for region, message in (("us-east-1", "the region is wrong; set AWS_REGION"), ("no region!", "check .*AWS_REGION")):
        monkeypatch.setenv("AWS_REGION", region)
        with pytest.raises(ConfigurationError, match=message):
            Objects.connect().exists(f"s3://{bucket}/key")


def test_what_answers_is_not_s3(bucket: str, httpd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another web server at the address is told from a missing bucket."""
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", httpd)
    with pytest.raises(PlatformError, match="is not S3"):
        Objects.connect().exists(f"s3://{bucket}/key")


@pytest.fixture
def httpd() -> Iterator[str]:
    """A web server that knows nothing of S3."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Plain(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
