"""A pipeline of two tasks, for the tests of the runner."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output


@dsl.component(base_image="fairlead-base:0", install_kfp_package=False, packages_to_install=[])
def write_number(dataset: Output[Dataset], metrics: Output[Metrics], number: int, source: str = "") -> None:
    """Writes a number; notes in the log that it ran."""
    import os
    from pathlib import Path

    from fairlead import progress

    with progress.step("writing", 1) as step:
        Path(dataset.path).write_text(str(number))
        step.advance()
    metrics.log_metric("number", number)
    with Path(os.environ["TOY_LOG"]).open("a") as file:
        file.write("write\n")


@dsl.component(base_image="fairlead-base:0", install_kfp_package=False, packages_to_install=[])
def judge_number(dataset: Input[Dataset]) -> str:
    """Waits while the gate says wait, fails while it says fail; notes in the log that it ran."""
    import os
    import time
    from pathlib import Path

    from fairlead.errors import DataError

    with Path(os.environ["TOY_LOG"]).open("a") as file:
        file.write("judge\n")
    while Path(os.environ["TOY_GATE"]).read_text() == "wait":
        time.sleep(0.02)
    if Path(os.environ["TOY_GATE"]).read_text() == "fail":
        raise DataError("the number is bad\n- give another one")
    return Path(dataset.path).read_text()


@dsl.pipeline(name="toy")
def pipeline(number: int = 3, source: str = "") -> None:
    """Writes a number and judges it."""
    written = write_number(number=number, source=source)
    judge_number(dataset=written.outputs["dataset"]).set_caching_options(enable_caching=False)
