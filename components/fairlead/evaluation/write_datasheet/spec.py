"""What only people can say of a dataset: the section `datasheet` of a problem.

The parts and questions are those of Gebru et al. 2021, "Datasheets for Datasets" (https://doi.org/10.1145/3458723);
whatever can be counted is not asked for here.
"""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from fairlead.sections import Section


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Points = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""One text or several."""


class Motivation(Section):
    """Why the dataset is there.

    Attributes:
        purpose: For what it was made.
        creators: Who made it, and on whose behalf.
        funding: Who paid.
    """

    purpose: Points = ()
    creators: Points = ()
    funding: Points = ()


class Composition(Section):
    """What is in it.

    Attributes:
        instances: What a row stands for.
        labels: What the label means, and how it came to be known.
        completeness: Whether it is all or a sample, and of what; what is left out and why.
        relations: How rows depend on each other.
        errors: Errors, noise, redundancies that are known.
        confidential: What may be confidential, offensive or sensitive.
        people: Whom it describes, and whether they can be identified.
    """

    instances: Points = ()
    labels: Points = ()
    completeness: Points = ()
    relations: Points = ()
    errors: Points = ()
    confidential: Points = ()
    people: Points = ()


class Collection(Section):
    """How it was collected.

    Attributes:
        how: By what means, and how these were checked.
        sampling: How the sample was drawn.
        who: Who collected, and how they were paid.
        time_frame: Over what time, if the rows do not say.
        consent: Whether those described were told and agreed.
        ethical_review: Whether anybody reviewed that.
    """

    how: Points = ()
    sampling: Points = ()
    who: Points = ()
    time_frame: Points = ()
    consent: Points = ()
    ethical_review: Points = ()


class Preprocessing(Section):
    """What was done to it.

    Attributes:
        steps: Cleaning, labelling, joining, scaling.
        raw_kept: Whether the raw data is kept, and where.
        software: Where the programs that did it are.
    """

    steps: Points = ()
    raw_kept: Points = ()
    software: Points = ()


class Uses(Section):
    """What it is for.

    Attributes:
        used_for: What it has been used for.
        suitable: What else it could be used for.
        unsuitable: What it must not be used for.
        risks: What in its making may harm later uses.
    """

    used_for: Points = ()
    suitable: Points = ()
    unsuitable: Points = ()
    risks: Points = ()


class Distribution(Section):
    """How it is passed on.

    Attributes:
        how: Where and how it can be had.
        licence: Its terms, where the dataset itself does not state them.
        restrictions: What others or the law restrict.
    """

    how: Points = ()
    licence: Points = ()
    restrictions: Points = ()


class Maintenance(Section):
    """Who looks after it.

    Attributes:
        maintainer: Who.
        contact: Where to reach them.
        updates: Whether and how it is corrected and renewed.
        retention: How long it may be kept.
        older_versions: What becomes of older versions.
    """

    maintainer: Points = ()
    contact: Points = ()
    updates: Points = ()
    retention: Points = ()
    older_versions: Points = ()


class DatasheetSpec(Section):
    """The human part of a datasheet; what is left out is told as not recorded.

    Attributes:
        label: The column that models predict; its values are counted.
        private: Columns of which no value may be told, not even the range.
        least_rows: A value that fewer rows share is never told.
        motivation: Why it is there.
        composition: What is in it.
        collection: How it was collected.
        preprocessing: What was done to it.
        uses: What it is for.
        distribution: How it is passed on.
        maintenance: Who looks after it.
    """

    label: str = ""
    private: Points = ()
    least_rows: int = Field(default=20, ge=2)
    motivation: Motivation = Motivation()
    composition: Composition = Composition()
    collection: Collection = Collection()
    preprocessing: Preprocessing = Preprocessing()
    uses: Uses = Uses()
    distribution: Distribution = Distribution()
    maintenance: Maintenance = Maintenance()
