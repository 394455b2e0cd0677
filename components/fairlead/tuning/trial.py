r"""One trial as a program: what a pod of a Katib Experiment runs, and what anyone may run by hand.

FAIRLEAD_TRIAL='{"train_path": "…", "validation_path": "…", "model": {…}, "train": {…}, "tuning": {…}, "label": "…"}' \
FAIRLEAD_PARAMETER_learning_rate=0.003 python -m fairlead.tuning.trial

A value may also be an argument: learning_rate=0.003. After each epoch the search's metrics are written to standard
output as Katib's collector reads them, `validation_log_loss=0.61`, and at the end those of the epoch whose weights
would be kept. A trial that fails, or whose figures are no numbers, says why on standard error and ends with 1.

In a cluster it fetches the datasets from the object store (FAIRLEAD_TRIAL_DATA), and leaves its model, its curve and
the reason of a failure there (FAIRLEAD_TRIAL_STORE), under its own name (FAIRLEAD_TRIAL_NAME).
"""

import json
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError, DataError, FairleadError, nearest
from fairlead.tuning.sampling import Values
from fairlead.tuning.search import TRIAL_ERRORS, Figures, TrialStopped, check_told, explain
from fairlead.tuning.spec import Objective, TuneSpec
from fairlead.tuning.study import FAILED, STOPPED, SUCCEEDED
from fairlead.tuning.trial_job import INPUTS, LEAST_SECONDS, PARAMETER
from fairlead.tuning.trial_store import Note, TrialStore
from fairlead.tuning.trials import Inputs, Trainer

_STOPPED = 128 + signal.SIGTERM  # the exit code of a trial that Katib's collector, or a kubelet, has stopped


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs one trial.

    Args:
        arguments: Values, each as name=value.
        environment: The inputs, and values that are no arguments.

    Returns:
        The exit code.
    """
    store, note = None, Note()
    try:
        store, inputs = TrialStore.of(environment), read_inputs(environment)
        if store is not None:
            store.fetch(inputs, environment)
        values = read_values(arguments, environment, inputs.tuning)
        run(inputs, values, float(environment.get(LEAST_SECONDS, "0")), note, store)
    except TRIAL_ERRORS as error:
        sys.stderr.write(f"{error if isinstance(error, FairleadError) else explain(error)}\n")
        return _end(store, note, FAILED, explain(error), 1)
    except TrialStopped:
        return _end(store, note, STOPPED, "", _STOPPED)
    return 0


def _end(store: TrialStore | None, note: Note, state: str, error: str, code: int) -> int:
    """Keeps how the trial ended, if that can be kept."""
    note.state, note.error = state, error
    if store is not None:
        try:
            store.write_note(note, now=True)
        except FairleadError as cause:
            sys.stderr.write(f"how the trial ended could not be stored either: {cause}\n")
    return code


def run(
    inputs: Inputs, values: Values, least_seconds: float = 0, note: Note | None = None, store: TrialStore | None = None
) -> None:
    """Trains with the values and writes the figures.

    Args:
        inputs: What the search looks at.
        values: By the parameters' names.
        least_seconds: Wait at the end until it has taken so long: Katib's collector misses what ends before it starts.
        note: Where to write down how far it is.
        store: Where to keep the note, and the model.

    Raises:
        DataError: A figure is not finite.
        ConfigurationError: The recipe tells no such metric as the search aims at.
    """
    started, objective, note = time.monotonic(), inputs.tuning.objective, note or Note()

    def hear(figures: Figures) -> None:
        write_figures(figures, objective)
        note.seconds = time.monotonic() - started
        note.figures = {name: figures[name] for name in objective.metrics}
        note.curve.append(figures[objective.metric])
        if store is not None:
            store.write_note(note)

    trained = Trainer(inputs).fit(values, hear)
    kept = trained.fitted.best.validation
    note.seconds, note.state = time.monotonic() - started, SUCCEEDED
    note.figures = {name: kept[name] for name in objective.metrics if name in kept}
    if store is not None:
        with tempfile.TemporaryDirectory() as scratch:
            store.write_checkpoint(inputs, values, trained, Path(scratch))
        store.write_note(note, now=True)
    write_figures(kept, objective)  # the last line, so that what Katib calls the latest is the kept epoch's
    time.sleep(max(0.0, least_seconds - (time.monotonic() - started)))


def _stop(_number: int, _frame: Any) -> None:
    raise TrialStopped


def write_figures(figures: Figures, objective: Objective) -> None:
    """Writes the search's metrics in one line, with every digit.

    Raises:
        DataError: One is not finite: Katib would call such a trial succeeded, without a value.
        ConfigurationError: One is absent.
    """
    check_told(figures, objective)
    wrong = [name for name in objective.metrics if not math.isfinite(figures[name])]
    if wrong:
        raise DataError(f"not finite: {', '.join(f'{name} {figures[name]}' for name in wrong)}; this trial has failed")
    sys.stdout.write(" ".join(f"{name}={figures[name]!r}" for name in objective.metrics) + "\n")
    sys.stdout.flush()


def read_inputs(environment: Mapping[str, str]) -> Inputs:
    """Reads what the search looks at.

    Raises:
        ConfigurationError: The variable is absent, no JSON, or holds what is not allowed.
    """
    text = environment.get(INPUTS)
    if text is None:
        raise ConfigurationError(f"{INPUTS} is not set; it holds a trial's inputs as JSON")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"{INPUTS} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{INPUTS} holds no keys; it must be a JSON object")
    return Inputs.of(values)


def read_values(arguments: Sequence[str], environment: Mapping[str, str], tuning: TuneSpec) -> Values:
    """Reads a trial's values, arguments before the environment.

    Raises:
        ConfigurationError: An argument is no name=value or sets no parameter of the search, or one has no value.
    """
    names = [parameter.name for parameter in tuning.parameters]
    values = {name: environment[PARAMETER + name] for name in names if PARAMETER + name in environment}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or name not in names:
            raise ConfigurationError(f"{argument!r} sets no parameter of the search; {nearest(name, names)}")
        values[name] = value
    absent = [name for name in names if name not in values]
    if absent:
        raise ConfigurationError(f"no value for {', '.join(absent)}; set {PARAMETER}{absent[0]} or give {absent[0]}=…")
    return values


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main(sys.argv[1:], os.environ))
