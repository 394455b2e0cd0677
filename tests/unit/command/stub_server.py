"""A model server of nothing but the standard library: ready at once, answers every prediction with its digest."""

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers GET as ready and POST as a prediction."""

    digest = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a probe."""
        self._answer({"ready": True})

    def do_POST(self) -> None:
        """Answer a prediction."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer({"digest": self.digest})

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def _answer(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for option in ("--name", "--package", "--digest", "--host", "--predictions"):
        parser.add_argument(option)
    parser.add_argument("--port", type=int)
    arguments = parser.parse_args()
    Handler.digest = arguments.digest
    ThreadingHTTPServer((arguments.host, arguments.port), Handler).serve_forever()
