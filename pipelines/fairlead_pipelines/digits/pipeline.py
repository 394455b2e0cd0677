"""Digits: from a table of pixels to a served image classifier.

fairlead run digits
fairlead run digits train.epochs=4 augmentation.copies=1
"""

from kfp import dsl

from fairlead import components as fl
from fairlead_pipelines.stages import Sets, learn, prove, ship


@dsl.pipeline(name="digits", description="Which digit is written in this picture?")
def pipeline(
    name: str,
    data_digits_source: str,
    data_digits: dict,
    expectations: dict,
    label_column: str,
    split: dict,
    augmentation: dict,
    model: dict,
    train: dict,
    quantization_tolerance: float,
    calibration: dict,
    evaluation: dict,
    slices: dict,
    behaviour: dict,
    comparison: dict,
    server: dict,
    load: dict,
    card: dict,
    datasheet: dict,
    policy: dict,
    serving: dict,
    rollout: dict,
) -> None:
    """Prepares pictures, adds changed copies, trains in two phases, exports, proves, registers and rolls out."""
    p = dict(locals())
    pictures = fl.ingest_dataset(name="digits", source=data_digits_source, table=data_digits)
    valid = fl.validate_dataset(dataset=pictures.outputs["dataset"], expectations=expectations)
    sets = fl.split_dataset(dataset=pictures.outputs["dataset"], split=split, label=label_column).after(valid)
    more = fl.augment_dataset(dataset=sets.outputs["train"], augmentation=augmentation)
    validation, test = sets.outputs["validation"], sets.outputs["test"]
    learned = learn(p, Sets(more.outputs["augmented"], validation, test))
    registered = prove(p, Sets(sets.outputs["train"], validation, test), learned.package, learned.training)
    ship(p, registered, after=registered)
