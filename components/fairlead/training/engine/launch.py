"""Starts torchrun on this machine, and says clearly which process died and why."""

import json
import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path

from fairlead import errors
from fairlead.errors import FairleadError, PlatformError
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.engine.__main__ import RESULT
from fairlead.training.job import Job

JOB = "job.json"
_LINES = 30  # of the processes' output, in an error


def train_together(job: Job, work: Path) -> Checkpoint:
    """Trains with as many processes on this machine as the job says; it stands for all nodes.

    Args:
        job: What to train.
        work: The folder of snapshots and of the result.

    Returns:
        The checkpoint.

    Raises:
        FairleadError: What one of the processes raised.
        PlatformError: One of them died; training goes on from its last snapshot when it is started again.
    """
    for left in work.glob("error-*.json"):
        left.unlink()
    job.write(work / JOB)
    command = [
        sys.executable, "-W", "ignore", "-m", "fairlead.training.engine.agent", "--standalone",
        "--nproc-per-node", str(job.spec.world), "-m", "fairlead.training.engine", str(work / JOB),
    ]  # fmt: skip
    environment = {"OMP_NUM_THREADS": str(job.spec.threads or 1), **os.environ, "FAIRLEAD_PARENT": str(os.getpid())}
    status, output = _run(command, environment)
    if status:
        raise _error(work, output)
    return Checkpoint.read(work / RESULT)


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, list[str]]:
    """Runs a command; passes its error output on, and remembers the end of it."""
    last: deque[str] = deque(maxlen=200)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        try:
            for line in process.stderr or ():
                last.append(line.rstrip())
                sys.stderr.write(line)
            return process.wait(), list(last)
        except BaseException:
            process.terminate()
            raise


def _error(work: Path, output: list[str]) -> FairleadError:
    """What went wrong, in the words of the process that failed first."""
    told = sorted(work.glob("error-*.json"), key=lambda path: path.stat().st_mtime_ns)
    if told:
        content = json.loads(told[0].read_text())
        kind = getattr(errors, content["kind"])
        error: FairleadError = kind(content["text"])
        return error
    text = "\n".join(output)
    first = text[text.find("Root Cause") :] if "Root Cause" in text else text
    rank, status = (re.search(pattern, first) for pattern in (r"rank\s+: (\d+)", r"exitcode\s+: (-?\d+)"))
    who = f"process {rank[1]} of the training" if rank else "a process of the training"
    how = _cause(int(status[1])) if status else "died"
    ends = "\n".join(line for line in output if "[rank" in line or "Error" in line) or text
    return PlatformError(
        f"{who} {how}, so all were ended. Run again to go on from the last snapshot; the processes' last words:\n"
        + "\n".join(ends.splitlines()[-_LINES:])
    )


def _cause(status: int) -> str:
    if status == -9:  # noqa: PLR2004
        return "was killed (SIGKILL: often a lack of memory; lower train.memory_gib or raise the limit)"
    return f"was killed by signal {-status}" if status < 0 else f"failed with exit status {status}"
