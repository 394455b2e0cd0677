"""Serves one model package over V1 and V2.

    python -m fairlead_serving --name flights --package DIR --digest sha256:… --port 8101
        [--host 127.0.0.1] [--grpc-port 8102] [--features DIR] [--predictions DIR]

Exit status: 0 after SIGTERM or SIGINT, 1 where it cannot start (the reason is the last line of stderr), 2 where an
argument is wrong.
"""

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead_serving.errors import StartupError
from fairlead_serving.lean import skip_unused_imports
from fairlead_serving.package import ModelPackage, PackageInvalidError

if TYPE_CHECKING:
    from fairlead_serving.server import Options

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
HIGHEST_PORT = 65535


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{value!r}: use letters, digits, dots, dashes and underscores")
    return value


def _digest(value: str) -> str:
    if not DIGEST.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{value!r}: give sha256: and 64 hexadecimal digits")
    return value


def _port(value: str) -> int:
    if not value.isdigit() or int(value) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{value!r}: give a number from 0 to {HIGHEST_PORT}")
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fairlead_serving", description="Serves one model package over V1 and V2.")
    add = parser.add_argument
    add("--name", type=_name, required=True, help="the name under which the model is served")
    add("--package", type=Path, required=True, help="the model package's folder")
    add("--digest", type=_digest, required=True, help="the digest that the package must have")
    add("--port", type=_port, default=8080, help="the REST port; 0 takes a free one")
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--grpc-port", type=_port, help="the gRPC port; none where absent")
    add("--features", type=Path, help="the folder with feature_store.yaml; then requests hold the request's fields")
    add("--predictions", type=Path, help="the folder for the prediction log and the feedback log")
    add("--max-body-bytes", type=int, default=4 * 2**20, help="the largest request body")
    add("--max-rows", type=int, default=10_000, help="the most rows of one request")
    add("--drain-seconds", type=float, default=2.0, help="how long requests are accepted after SIGTERM at most")
    add("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    return parser


def _options(arguments: argparse.Namespace) -> "Options":
    from fairlead_serving.gate import Limits
    from fairlead_serving.server import Options

    return Options(
        name=arguments.name, package=arguments.package, digest=arguments.digest, port=arguments.port,
        host=arguments.host, grpc_port=arguments.grpc_port, features=arguments.features,
        predictions=arguments.predictions, drain_seconds=arguments.drain_seconds,
        limits=Limits(body_bytes=arguments.max_body_bytes, rows=arguments.max_rows),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server until it is told to stop.

    Args:
        arguments: The command line without the program's name; sys.argv's where None.

    Returns:
        The exit status.
    """
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=parsed.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    skip_unused_imports()
    try:
        package = ModelPackage.open(parsed.package, expected_digest=parsed.digest)
        options = _options(parsed)
        from fairlead_serving.server import FairleadServer

        FairleadServer(options, package).start()
    except (PackageInvalidError, StartupError) as error:
        sys.stderr.write(f"fairlead_serving: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
