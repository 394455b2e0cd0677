"""What a problem's YAML says about who must have approved a model: the section `policy`."""

from pydantic import field_validator

from fairlead.errors import nearest
from fairlead.sections import Section

JUDGES = ("evaluation", "comparison", "canary")
"""Who can judge a model; a verdict's `judge` is one of these."""


class PolicySpec(Section):
    """Whose approval a model needs.

    Attributes:
        registration: Judges whose verdicts register_model demands.
        deployment: Judges whose verdicts deploy_model and roll_out_model demand.
    """

    registration: tuple[str, ...] = ("evaluation",)
    deployment: tuple[str, ...] = ("evaluation",)

    @field_validator("registration", "deployment")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for judge in value:
            if judge not in JUDGES:
                raise ValueError(f"there is no judge {judge!r}; {nearest(judge, JUDGES)}")
        return value
