"""ONNX Runtime alone, in a loop, without any server: predictions of one row per second.

python benchmarks/serving/bare_runtime.py PACKAGE SECONDS
"""

import sys
import time

import numpy as np
from session import open_session  # type: ignore[import-not-found] # beside the script that is run


def main() -> None:
    """Measures and prints."""
    session = open_session(sys.argv[1])
    given = session.get_inputs()[0]
    dtype = np.uint8 if "uint8" in given.type else np.float32
    values = np.ones((1, *given.shape[1:]), dtype)
    session.run(None, {given.name: values})
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < float(sys.argv[2]):
        session.run(None, {given.name: values})
        count += 1
    print(count / (time.perf_counter() - started))


if __name__ == "__main__":
    main()
