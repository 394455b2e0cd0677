"""A small S3 server for tests: it keeps objects in memory, checks signatures, gets objects and lists them."""

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS_KEY = "tester"
SECRET_KEY = "tester-secret"


class S3(BaseHTTPRequestHandler):
    """One request to the server whose objects are `objects`: bucket to key to content."""

    objects: dict[str, dict[str, bytes]]

    def do_GET(self) -> None:
        """Answer a GET of an object, of a bucket's list or of its location."""
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = parse_qs(parts.query, keep_blank_values=True)
        refusal = self.refusal()
        if refusal:
            self.fail(403, refusal)
        elif bucket not in self.objects:
            self.fail(404, "NoSuchBucket")
        elif "location" in query:
            self.answer(
                200, b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>'
            )
        elif not key:
            self.answer(
                200, self.listing(bucket, query.get("prefix", [""])[0], query.get("delimiter", [""])[0]).encode()
            )
        elif key in self.objects[bucket]:
            self.answer(200, self.objects[bucket][key])
        else:
            self.fail(404, "NoSuchKey")

    def refusal(self) -> str:
        """The error code for what is wrong with the request's signature, if anything is."""
        fields = dict(
            part.strip().split("=", 1) for part in self.headers.get("Authorization", "").partition(" ")[2].split(",")
        )
        if not fields:
            return "AccessDenied"
        access, scope = fields["Credential"].split("/", 1)
        if access != ACCESS_KEY:
            return "InvalidAccessKeyId"
        return "" if fields["Signature"] == self.signature(scope, fields["SignedHeaders"]) else "SignatureDoesNotMatch"

    def signature(self, scope: str, signed: str) -> str:
        """AWS signature version 4 of the request as it should be."""
        parts = urlsplit(self.path)
        pairs = sorted(parse_qsl(parts.query, keep_blank_values=True))
        query = "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)
        headers = "".join(f"{name}:{self.headers[name].strip()}\n" for name in signed.split(";"))
        canonical = "\n".join(("GET", parts.path, query, headers, signed, self.headers["x-amz-content-sha256"]))
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        key = f"AWS4{SECRET_KEY}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        text = "\n".join(("AWS4-HMAC-SHA256", self.headers["x-amz-date"], scope, digest))
        return hmac.new(key, text.encode(), "sha256").hexdigest()

    def listing(self, bucket: str, prefix: str, delimiter: str) -> str:
        """ListObjectsV2's answer."""
        keys = [key for key in sorted(self.objects[bucket]) if key.startswith(prefix)]
        deep = {key for key in keys if delimiter and delimiter in key[len(prefix) :]}
        folders = sorted({prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter for key in deep})
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2013-01-01T00:00:00.000Z</LastModified><ETag>x</ETag>"
            f"<Size>{len(self.objects[bucket][key])}</Size></Contents>" for key in keys if key not in deep
        )  # fmt: skip
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders)
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>{contents}{prefixes}"
            "</ListBucketResult>"
        )

    def fail(self, status: int, code: str) -> None:
        """Send an error as S3 does."""
        body = f"<Error><Code>{code}</Code><Message>{code}</Message><Resource>{escape(self.path)}</Resource></Error>"
        self.answer(status, body.encode(), "application/xml")

    def answer(self, status: int, body: bytes, kind: str = "application/octet-stream") -> None:
        """Send one answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the name that http.server gives)
        """Say nothing."""


@contextmanager
def s3_server(objects: dict[str, dict[str, bytes]]) -> Iterator[str]:
    """Run the server over objects; give its endpoint."""
    handler = type("OwnS3", (S3,), {"objects": objects})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()
