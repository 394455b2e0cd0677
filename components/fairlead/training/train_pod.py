"""How the pods of a TrainJob run, and the variable by which they are told what to train."""

from pydantic import Field

from fairlead import image
from fairlead.platform.kubeflow.pod_section import PodSection

STORE = "FAIRLEAD_TRAINING"
RUNTIME = "fairlead-training"


class TrainPod(PodSection):
    """How each node of a training runs in a cluster; every node is one pod.

    Attributes:
        image: With fairlead and the recipe's libraries; fairlead's own gets the setting image_registry before it.
        runtime: The TrainingRuntime of the namespace: what pods are like beside this section, and how often a training
            whose pods die is started again.
        keep: Keep the TrainJob when training is over, and when it is interrupted: the next run then follows it.
        wait_seconds: How long a training may be without a sign of life before it is given up.
    """

    image: str = image.TRAINING
    runtime: str = RUNTIME
    keep: bool = False
    wait_seconds: int = Field(default=1800, ge=1)
