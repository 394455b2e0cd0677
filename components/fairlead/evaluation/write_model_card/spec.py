"""What only people can say of a model: the section `card` of a problem.

The parts are those of Mitchell et al. 2019, "Model Cards for Model Reporting" (https://doi.org/10.1145/3287560.3287596);
whatever can be measured is not asked for here.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator

from fairlead.sections import Section


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Points = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""One text or several."""


class CardSpec(Section):
    """The human part of a model card; what is left out is told as not recorded.

    Attributes:
        overview: What the model is for, in a paragraph.
        owners: Who answers for it.
        contacts: Where to ask, and where to report what goes wrong.
        licence: Under what terms the model may be used.
        citation: How to cite it.
        references: Papers, documents, addresses.
        intended_use: What it was made for.
        intended_users: Who is to use it.
        out_of_scope: What it must not be used for.
        factors: Groups of people, instruments, environments by which its quality may differ, and why those slices.
        evaluation_data: Why it was evaluated on that data, and how that differs from where it is used.
        ethical_considerations: Who may be harmed and how, what was done about it, what sensitive data is in it.
        caveats: What else to know.
        recommendations: What users should do, or test, before they rely on it.
    """

    overview: str = ""
    owners: Points = ()
    contacts: Points = ()
    licence: str = ""
    citation: str = ""
    references: Points = ()
    intended_use: Points = ()
    intended_users: Points = ()
    out_of_scope: Points = ()
    factors: Points = ()
    evaluation_data: Points = ()
    ethical_considerations: Points = ()
    caveats: Points = ()
    recommendations: Points = ()
