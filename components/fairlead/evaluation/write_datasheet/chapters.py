"""A datasheet's chapters, those of Gebru et al. 2021: what people said, and what was counted."""

from collections.abc import Mapping, Sequence

from fairlead.datasets import DatasetManifest
from fairlead.evaluation.documents import Block, Chapter, Document, Facts, Table, Text, answer
from fairlead.evaluation.write_datasheet.columns import ColumnFacts, DatasetFacts
from fairlead.evaluation.write_datasheet.spec import DatasheetSpec
from fairlead.ingestion.validate_dataset.report import bars
from fairlead.sections import Section
from fairlead.values import percent

_LONGEST = 24  # characters of a value
NOT_STATED = "not stated"

_QUESTIONS: Mapping[str, Mapping[str, str]] = {
    "motivation": {
        "purpose": "For what purpose was it made?",
        "creators": "Who made it?",
        "funding": "Who paid for it?",
    },
    "composition": {
        "instances": "What does a row stand for?",
        "labels": "What does the label mean?",
        "completeness": "Is it all there is, or a sample?",
        "relations": "How do rows depend on each other?",
        "errors": "What errors, noise or redundancies are known?",
        "confidential": "Is anything in it confidential, offensive or sensitive?",
        "people": "Does it describe people, and can they be identified?",
    },
    "collection": {
        "how": "By what means was it collected?",
        "sampling": "How was the sample drawn?",
        "who": "Who collected it?",
        "time_frame": "Over what time?",
        "consent": "Were those described told, and did they agree?",
        "ethical_review": "Did anybody review that?",
    },
    "preprocessing": {
        "steps": "What was done to it?",
        "raw_kept": "Is the raw data kept?",
        "software": "Where are the programs that did it?",
    },
    "uses": {
        "used_for": "What has it been used for?",
        "suitable": "What else could it be used for?",
        "unsuitable": "What must it not be used for?",
        "risks": "What in its making may harm later uses?",
    },
    "distribution": {
        "how": "How can it be had?",
        "licence": "Under what terms?",
        "restrictions": "What else restricts its use?",
    },
    "maintenance": {
        "maintainer": "Who looks after it?",
        "contact": "Where can they be reached?",
        "updates": "How is it corrected and renewed?",
        "retention": "How long may it be kept?",
        "older_versions": "What becomes of older versions?",
    },
}
_HEADINGS = {
    "collection": "Collection process",
    "preprocessing": "Preprocessing, cleaning, labelling",
}


def make_document(manifest: DatasetManifest, facts: DatasetFacts, spec: DatasheetSpec) -> Document:
    """The datasheet as a document.

    Args:
        manifest: The dataset.
        facts: What may be told of its rows.
        spec: The human part.

    Returns:
        The document.
    """
    chapters = [_chapter(name, getattr(spec, name), manifest, facts, spec) for name in _QUESTIONS]
    return Document(f"Datasheet: {manifest.name}", [_summary(manifest)], chapters)


def not_recorded(spec: DatasheetSpec) -> tuple[str, ...]:
    """The questions that nobody answered, by their keys in the section."""
    return tuple(
        f"{part}.{question}"
        for part, questions in _QUESTIONS.items()
        for question in questions
        if not getattr(getattr(spec, part), question)
    )


def _summary(manifest: DatasetManifest) -> Facts:
    start, end = manifest.time_range or ("", "")
    licence = None if manifest.licence == NOT_STATED else manifest.licence
    span = {"from": start, "until": end} if manifest.time_column else {}
    return Facts({
        "rows": manifest.row_count, "columns": len(manifest.columns), **span, "licence": licence,
        "source": manifest.source, "digest": manifest.digest,
    })  # fmt: skip


def _chapter(name: str, part: Section, manifest: DatasetManifest, facts: DatasetFacts, spec: DatasheetSpec) -> Chapter:
    answers = [Chapter(question, [answer(getattr(part, key))]) for key, question in _QUESTIONS[name].items()]
    if name == "composition":
        answers += _composition(manifest, facts, spec)
    if name == "distribution" and not spec.distribution.licence and manifest.licence != NOT_STATED:
        answers[1] = Chapter(_QUESTIONS[name]["licence"], [Text(manifest.licence)])
    if name == "collection" and not spec.collection.time_frame and manifest.time_range:
        start, end = manifest.time_range
        span = Facts({"time column": manifest.time_column, "from": start, "until": end})
        answers[3] = Chapter(_QUESTIONS[name]["time_frame"], [span])
    return Chapter(_HEADINGS.get(name, name.capitalize()), (), answers)


def _composition(manifest: DatasetManifest, facts: DatasetFacts, spec: DatasheetSpec) -> list[Chapter]:
    rows = manifest.row_count
    told = [_row(column, rows) for column in facts.columns]
    headers = ("column", "type", "missing", "distinct ≈", "from", "mean", "to", "distribution")
    caption = "Counted over all rows; distinct values are estimated within some per cent."
    blocks: list[Block] = [Table(headers, told, caption)]
    frequent = [(column.name, _frequent(column, rows)) for column in facts.columns if column.frequent]
    if frequent:
        least = f"Values that at least {spec.least_rows} rows share; rarer ones are counted, not told."
        blocks.append(Table(("column", "values"), frequent, least))
    hidden = [(column.name, column.why_hidden) for column in facts.columns if column.why_hidden]
    if hidden:
        blocks.append(Table(("column", "why no values are told"), hidden))
    chapters = [Chapter("What the columns hold", blocks)]
    if spec.label:
        chapters.append(Chapter(f"How the label {spec.label} is distributed", [_label(facts, rows)]))
    return chapters


def _label(facts: DatasetFacts, rows: int) -> Block:
    if not facts.label:
        return Text("Its values are too many or too rare to be told one by one.")
    counted = [(value, copies, percent(copies / rows)) for value, copies in facts.label]
    return Table(("value", "rows", "share"), counted)


def _row(column: ColumnFacts, rows: int) -> Sequence[object]:
    missing = percent(column.missing / rows)
    kind = column.type.replace(", tz=UTC", "")
    ends = (_end(column.minimum), column.mean, _end(column.maximum))
    return (column.name, kind, missing, column.distinct, *ends, bars(column.bins) or None)


def _end(value: object) -> object:
    """The smallest or largest value, cut to what a cell holds."""
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST + 8 else f"{text[: _LONGEST - 1]}…"


def _frequent(column: ColumnFacts, rows: int) -> str:
    return ", ".join(f"{_end(value)} ({percent(copies / rows)})" for value, copies in column.frequent)
