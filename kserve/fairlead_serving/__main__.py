"""Serves model packages over V1 and V2.

    python -m fairlead_serving --name flights --package DIR --digest sha256:… --port 8101
        [--host 127.0.0.1] [--grpc-port 8102] [--features DIR] [--predictions DIR|s3://BUCKET/PREFIX]
    python -m fairlead_serving --model flights=DIR@sha256:… --model digits=DIR@sha256:… [--repository DIR]

Exit status: 0 after SIGTERM or SIGINT, 1 where it cannot start (the reason is the last line of stderr), 2 where an
argument is wrong.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead_serving.errors import StartupError
from fairlead_serving.lean import skip_unused_imports
from fairlead_serving.logging_format import FORMATS, start_logging
from fairlead_serving.package import PackageInvalidError

if TYPE_CHECKING:
    from fairlead_serving.models import ModelSource
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


def _model(value: str) -> tuple[str, Path, str]:
    name, equals, rest = value.partition("=")
    package, at, digest = rest.rpartition("@")
    if not equals or not at or not package:
        raise argparse.ArgumentTypeError(f"{value!r}: give NAME=DIR@sha256:…")
    return _name(name), Path(package), _digest(digest)


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) == 0:
        raise argparse.ArgumentTypeError(f"{value!r}: give a whole number from 1")
    return int(value)


def _port(value: str) -> int:
    if not value.isdigit() or int(value) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{value!r}: give a number from 0 to {HIGHEST_PORT}")
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fairlead_serving", description="Serves model packages over V1 and V2.")
    add = parser.add_argument
    add("--name", type=_name, help="the name under which the model is served")
    add("--package", type=Path, help="the model package's folder")
    add("--digest", type=_digest, help="the digest that the package must have")
    add(
        "--model",
        type=_model,
        action="append",
        default=[],
        metavar="NAME=DIR@sha256:…",
        help="one of several models, instead of --name, --package and --digest; may be repeated",
    )
    add("--repository", type=Path, help="the folder of packages that clients may load and unload")
    add("--port", type=_port, default=8080, help="the REST port; 0 takes a free one")
    add("--host", default="127.0.0.1", help="the address to listen on")
    add("--grpc-port", type=_port, help="the gRPC port; none where absent")
    add("--features", type=Path, help="the folder with feature_store.yaml; then requests hold the request's fields")
    add("--predictions", help="the folder for the prediction log and the feedback log, or s3://BUCKET/PREFIX")
    add("--journals", type=Path, help="the local folder of journals that wait for S3; by default a temporary one")
    add("--keep-days", type=int, default=0, help="for how many days predictions are kept; 0 for ever")
    add("--max-body-bytes", type=_positive, default=4 * 2**20, help="the largest request body")
    add("--max-rows", type=_positive, default=10_000, help="the most rows of one request")
    add("--max-queue", type=_positive, default=256, help="the most queries that wait; more are refused with 503")
    add("--max-buffer-bytes", type=_positive, default=64 * 2**20, help="the most bytes of all bodies at a time")
    add("--max-connections", type=_positive, default=1024, help="the most connections")
    add("--body-seconds", type=float, default=30.0, help="how long a request may take to arrive")
    add("--drain-seconds", type=float, default=2.0, help="how long requests are accepted after SIGTERM at most")
    add("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    add("--log-format", default="text", choices=FORMATS, help="text for people, json for log collectors")
    return parser


def _sources(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> "tuple[ModelSource, ...]":
    from fairlead_serving.models import ModelSource

    one = (arguments.name, arguments.package, arguments.digest)
    if any(one) and not all(one):
        parser.error("--name, --package and --digest belong together")
    sources = [ModelSource(*one)] if all(one) else []
    sources += [ModelSource(*given) for given in arguments.model]
    names = [source.name for source in sources]
    if len(set(names)) != len(names):
        parser.error(f"a name is given twice: {', '.join(names)}")
    if not sources and arguments.repository is None:
        parser.error("nothing to serve: give --name, --package and --digest, or --model, or --repository")
    return tuple(sources)


def _options(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> "Options":
    from fairlead_serving.gate import Limits
    from fairlead_serving.server import Options

    return Options(
        models=_sources(parser, arguments), port=arguments.port, repository=arguments.repository,
        host=arguments.host, grpc_port=arguments.grpc_port, features=arguments.features,
        predictions=arguments.predictions, journals=arguments.journals, keep_days=arguments.keep_days,
        drain_seconds=arguments.drain_seconds,
        limits=Limits(
            body_bytes=arguments.max_body_bytes, rows=arguments.max_rows, body_seconds=arguments.body_seconds,
            queue=arguments.max_queue, buffer_bytes=arguments.max_buffer_bytes,
            connections=arguments.max_connections,
        ),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server until it is told to stop.

    Args:
        arguments: The command line without the program's name; sys.argv's where None.

    Returns:
        The exit status.
    """
    parser = _parser()
    parsed = parser.parse_args(arguments)
    start_logging(parsed.log_level, parsed.log_format)
    skip_unused_imports()
    options = _options(parser, parsed)
    try:
        from fairlead_serving.server import FairleadServer

        FairleadServer(options).start()
    except (PackageInvalidError, StartupError) as error:
        sys.stderr.write(f"fairlead_serving: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
