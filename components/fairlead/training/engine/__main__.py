"""One process of a training that torchrun, or a Kubeflow TrainJob, starts on one machine or many.

torchrun --nproc-per-node 2 -m fairlead.training.engine JOB

JOB is a JSON file that train_model wrote (`fairlead.training.job.Job`). Beside it lie the snapshots from which a killed
training goes on, and what the first process leaves: `result/`, a finished checkpoint. A process that cannot go on
leaves `error-RANK.json`.
"""

import os
import signal
import sys
from pathlib import Path

from fairlead import atomic
from fairlead.errors import FairleadError
from fairlead.training.engine.agent import die_with
from fairlead.training.job import Job, do
from fairlead.training.progress import Teller, nothing

RESULT = "result"


def main(path: Path) -> int:
    """Trains as one of the processes; the exit status says whether all went well."""
    rank, work = int(os.environ.get("RANK", "0")), path.absolute().parent
    die_with(os.getppid(), signal.SIGKILL)
    try:
        job = Job.read(path)
        if rank:
            do(job, nothing, work)
        else:
            with Teller.of(job, work) as teller:
                do(job, teller, work).write(work / RESULT)
    except FairleadError as error:
        atomic.write_json(work / f"error-{rank}.json", {"kind": type(error).__name__, "text": str(error)})
        return 1
    _leave()
    return 0


def _leave() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
