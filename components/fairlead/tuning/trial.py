r"""One trial as a program: what a pod of a Katib Experiment runs, and what anyone may run by hand.

FAIRLEAD_TRIAL='{"train_path": "…", "validation_path": "…", "model": {…}, "train": {…}, "tuning": {…}, "label": "…"}' \
FAIRLEAD_PARAMETER_learning_rate=0.003 python -m fairlead.tuning.trial

A value may also be an argument: learning_rate=0.003. After each epoch the search's metrics are written to standard
output as Katib's collector reads them, `validation_log_loss=0.61`, and at the end those of the epoch whose weights
would be kept. A trial that fails, or whose figures are no numbers, says why on standard error and ends with 1.
"""

import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence

from fairlead.errors import ConfigurationError, DataError, FairleadError, nearest
from fairlead.tuning.sampling import Values
from fairlead.tuning.search import TRIAL_ERRORS, Figures, check_told, explain
from fairlead.tuning.spec import Objective, TuneSpec
from fairlead.tuning.trials import Inputs, Trainer

INPUTS, PARAMETER, LEAST_SECONDS = "FAIRLEAD_TRIAL", "FAIRLEAD_PARAMETER_", "FAIRLEAD_TRIAL_LEAST_SECONDS"


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs one trial.

    Args:
        arguments: Values, each as name=value.
        environment: The inputs, and values that are no arguments.

    Returns:
        The exit code.
    """
    try:
        inputs = read_inputs(environment)
        run(inputs, read_values(arguments, environment, inputs.tuning), float(environment.get(LEAST_SECONDS, "0")))
    except TRIAL_ERRORS as error:
        sys.stderr.write(f"{error if isinstance(error, FairleadError) else explain(error)}\n")
        return 1
    return 0


def run(inputs: Inputs, values: Values, least_seconds: float = 0) -> None:
    """Trains with the values and writes the figures.

    Args:
        inputs: What the search looks at.
        values: By the parameters' names.
        least_seconds: Wait at the end until it has taken so long: Katib's collector misses what ends before it starts.

    Raises:
        DataError: A figure is not finite.
        ConfigurationError: The recipe tells no such metric as the search aims at.
    """
    started, objective = time.monotonic(), inputs.tuning.objective
    kept = Trainer(inputs)(values, lambda figures: write_figures(figures, objective))
    write_figures(kept, objective)
    time.sleep(max(0.0, least_seconds - (time.monotonic() - started)))


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
    sys.exit(main(sys.argv[1:], os.environ))
