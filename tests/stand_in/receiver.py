"""Takes events by POST and gives them all back at GET /events, for tests of what KServe's logger sends."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EVENTS: list[dict[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    """Keeps what comes."""

    def do_POST(self) -> None:
        """Takes an event."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {key.lower(): value for key, value in self.headers.items()}
        EVENTS.append({"headers": headers, "body": body.decode(errors="replace")})
        self._answer(b"")

    def do_GET(self) -> None:
        """Gives all events."""
        self._answer(json.dumps(EVENTS).encode())

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
