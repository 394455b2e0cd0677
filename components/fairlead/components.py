"""The catalog: every component, flat, ready to compose.

    from fairlead import components
    from kfp import dsl

    @dsl.pipeline(name="rows")
    def rows(source: str) -> None:
        data = components.ingest_dataset(name="rows", source=source)
        components.split_dataset(dataset=data.outputs["dataset"], split={"by": "rows", "test": 0.2})

Importing this needs kfp and nothing else: the work behind a component is imported when its step runs.
"""

from fairlead.deployment.deploy_model.component import deploy_model
from fairlead.deployment.roll_out_model.component import roll_out_model
from fairlead.evaluation.check_behaviour.component import check_behaviour
from fairlead.evaluation.compare_models.component import compare_models
from fairlead.evaluation.evaluate_model.component import evaluate_model
from fairlead.evaluation.evaluate_slices.component import evaluate_slices
from fairlead.evaluation.load_test_model.component import load_test_model
from fairlead.evaluation.validate_server.component import validate_server
from fairlead.evaluation.write_datasheet.component import write_datasheet
from fairlead.evaluation.write_model_card.component import write_model_card
from fairlead.features.build_training_set.component import build_training_set
from fairlead.features.check_feature_skew.component import check_feature_skew
from fairlead.features.compute_features.component import compute_features
from fairlead.features.materialize_features.component import materialize_features
from fairlead.ingestion.augment_dataset.component import augment_dataset
from fairlead.ingestion.ingest_dataset.component import ingest_dataset
from fairlead.ingestion.split_dataset.component import split_dataset
from fairlead.ingestion.validate_dataset.component import validate_dataset
from fairlead.optimization.calibrate_model.component import calibrate_model
from fairlead.optimization.export_model.component import export_model
from fairlead.optimization.quantize_model.component import quantize_model
from fairlead.registry.fetch_model.component import fetch_model
from fairlead.registry.register_model.component import register_model
from fairlead.training.train_model.component import train_model
from fairlead.tuning.tune_model.component import tune_model

__all__ = [
    "augment_dataset",
    "build_training_set",
    "calibrate_model",
    "check_behaviour",
    "check_feature_skew",
    "compare_models",
    "compute_features",
    "deploy_model",
    "evaluate_model",
    "evaluate_slices",
    "export_model",
    "fetch_model",
    "ingest_dataset",
    "load_test_model",
    "materialize_features",
    "quantize_model",
    "register_model",
    "roll_out_model",
    "split_dataset",
    "train_model",
    "tune_model",
    "validate_dataset",
    "validate_server",
    "write_datasheet",
    "write_model_card",
]
