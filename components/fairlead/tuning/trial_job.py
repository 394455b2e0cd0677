"""How a trial's pod runs in a cluster, and the variables by which it is told what to do."""

from pydantic import Field, field_validator

from fairlead import image
from fairlead.platform.kubeflow.pod_section import PodSection

INPUTS, PARAMETER, LEAST_SECONDS = "FAIRLEAD_TRIAL", "FAIRLEAD_PARAMETER_", "FAIRLEAD_TRIAL_LEAST_SECONDS"
DATA, STORE, NAME = "FAIRLEAD_TRIAL_DATA", "FAIRLEAD_TRIAL_STORE", "FAIRLEAD_TRIAL_NAME"
_OWN = {INPUTS, LEAST_SECONDS, DATA, STORE, NAME}


class TrialJob(PodSection):
    """How a trial's pod runs; Katib's collector must be the same user as the trial to stop it early.

    Attributes:
        image: With fairlead, the recipe's libraries, and sh; fairlead's own gets the setting image_registry before it.
        retain: Keep the pods of trials that have ended: their exit codes and logs are nowhere else.
        keep: Keep the Experiment: when the search is over, and also when it is interrupted, so that the next run goes
            on following it.
        wait_seconds: How long an Experiment may wait for a first sign of life, or for its next trial, before the search
            is given up; a cluster whose queues are long needs more.
        services: The cluster's suggestion service of each algorithm, where it is not Katib's own choice.
    """

    image: str = image.TRAINING
    retain: bool = False
    keep: bool = False
    wait_seconds: int = Field(default=600, ge=1)
    services: dict[str, str] = Field(default_factory=dict)

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, environment: dict[str, str]) -> dict[str, str]:
        taken = [name for name in environment if name in _OWN or name.startswith(PARAMETER)]
        if taken:
            raise ValueError(f"{', '.join(taken)} is set by the trial itself; take it out")
        return environment
