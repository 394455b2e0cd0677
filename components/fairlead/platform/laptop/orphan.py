"""Starts a program as nobody's child, and prints its pid.

    python orphan.py PROGRAM [ARGUMENT …]

Envoy asks the kernel to be ended when its parent ends (prctl PR_SET_PDEATHSIG), but it has to outlive the supervisor.
So it is started only once its parent is gone. The file is run by its path, without the package, to be quick.
"""

import os
import sys
import time

_POLL_SECONDS = 0.001


def main() -> None:
    """Forks; the parent tells the child's pid and ends, then the child becomes the program."""
    parent = os.getpid()
    child = os.fork()
    if child:
        os.write(sys.stdout.fileno(), f"{child}\n".encode())
        return
    os.close(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), 1)  # stdout was for the pid only
    while os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main()
