"""torchrun that ends with the process that started it, so that no training outlives a killed task.

python -m fairlead.training.engine.agent --standalone --nproc-per-node 2 -m fairlead.training.engine JOB
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int, signal_number: int) -> None:
    """Has the kernel send this process a signal when its parent dies; only Linux can, elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != parent:  # it died before it was asked
            os.kill(os.getpid(), signal_number)


def main() -> None:
    """Runs torchrun on the arguments."""
    die_with(int(os.environ.get("FAIRLEAD_PARENT", os.getppid())), signal.SIGTERM)
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
