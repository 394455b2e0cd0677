"""Sends fuzzed requests to a running server and reports the first that it did not stand.

python tests/serving_fuzz.py --port 8101 --seed 7 --case 4242          what a failure prints, to repeat it
python tests/serving_fuzz.py --grpc-port 8102 --seed 7 --case 4242
"""

import argparse
import socket
import sys
import time
from collections import Counter

import fuzz_cases
import grpc  # type: ignore[import-untyped]
from fuzz_cases import RestCase, grpc_case, rest_case

TIMEOUT_SECONDS = 60.0
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNAVAILABLE}


class FaultError(AssertionError):
    """The server did something that it must never do."""


class RestFuzzer:
    """Sends REST cases, over kept connections where they are well framed.

    Args:
        port: The server's.
        seed: Of all cases.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port, self._seed = port, seed
        self._connection: socket.socket | None = None
        self.statuses: Counter[int] = Counter()

    def run(self, number: int) -> None:
        """Sends one case.

        Raises:
            FaultError: The answer is the server's own fault, or none came to a request that was whole.
        """
        case = rest_case(self._seed, number)
        try:
            answers = self._kept(case) if case.framed else self._alone(case)
        except TimeoutError:
            raise FaultError(self._text(case, "no answer within a minute")) from None
        for status in answers:
            self.statuses[status] += 1
            if status >= 500 and not (status == 504 and case.timed):
                raise FaultError(self._text(case, f"status {status}"))
        if case.framed and len(answers) != 1:
            raise FaultError(self._text(case, f"{len(answers)} answers to one whole request"))

    def close(self) -> None:
        """Closes the kept connection."""
        if self._connection is not None:
            self._connection.close()

    def _text(self, case: RestCase, what: str) -> str:
        return (
            f"{what}, to the {case.kind} case; repeat it with: python tests/serving_fuzz.py --port {self._port} "
            f"--seed {self._seed} --case {case.number}"
        )

    def _kept(self, case: RestCase) -> list[int]:
        if self._connection is None:
            self._connection = self._connect()
        self._send(self._connection, case)
        status, closes = _read_answer(self._connection)
        if closes or status is None:
            self._connection.close()
            self._connection = None
        return [] if status is None else [status]

    def _alone(self, case: RestCase) -> list[int]:
        statuses: list[int] = []
        with self._connect() as connection:
            try:
                self._send(connection, case)
                connection.shutdown(socket.SHUT_WR)
                while (status := _read_answer(connection)[0]) is not None:
                    statuses.append(status)
            except TimeoutError:
                raise
            except OSError:  # the server closed on what it could not read
                pass
        return statuses

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT_SECONDS)

    @staticmethod
    def _send(connection: socket.socket, case: RestCase) -> None:
        for part in case.parts:
            connection.sendall(part)
            if case.pause:
                time.sleep(case.pause)


def _read_answer(connection: socket.socket) -> tuple[int | None, bool]:
    """Reads one answer; gives its status (None where the connection ended) and whether the connection closes."""
    head = b""
    while b"\r\n\r\n" not in head:
        byte = connection.recv(1)  # what follows may belong to the next answer
        if not byte:
            return None, True
        head += byte
    lines = head.decode("latin-1").lower().split("\r\n")
    status = int(lines[0].split()[1])
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    if status == 100:
        return _read_answer(connection)
    left = int(fields.get("content-length", 0))
    if "chunked" in fields.get("transfer-encoding", ""):
        while connection.recv(65536):
            pass
        return status, True
    while left:
        part = connection.recv(min(left, 65536))
        if not part:
            break
        left -= len(part)
    return status, fields.get("connection") == "close"


class GrpcFuzzer:
    """Sends gRPC cases.

    Args:
        port: The server's.
        seed: Of all cases.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port, self._seed = port, seed
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.statuses: Counter[str] = Counter()

    def run(self, number: int) -> None:
        """Sends one case.

        Raises:
            FaultError: The status is the server's own fault.
        """
        method, content, metadata = grpc_case(self._seed, number)
        call = self._channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        try:
            call(content, metadata=metadata, timeout=TIMEOUT_SECONDS)
            code = grpc.StatusCode.OK
        except grpc.RpcError as error:
            code = error.code()
        self.statuses[code.name] += 1
        if code in FAULTS:
            raise FaultError(
                f"status {code.name} of {method}; repeat it with: python tests/serving_fuzz.py --grpc-port "
                f"{self._port} --seed {self._seed} --case {number}"
            )

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()


def main() -> None:
    """Repeats one case and shows it."""
    parser = argparse.ArgumentParser(description="Repeats one fuzzed request.")
    for name in ("--port", "--grpc-port", "--seed", "--case"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    if given.port:
        sys.stdout.write(f"{fuzz_cases.rest_case(given.seed, given.case)}\n"[:5000])
        RestFuzzer(given.port, given.seed).run(given.case)
    else:
        sys.stdout.write(f"{fuzz_cases.grpc_case(given.seed, given.case)}\n"[:5000])
        GrpcFuzzer(given.grpc_port, given.seed).run(given.case)


if __name__ == "__main__":
    main()
