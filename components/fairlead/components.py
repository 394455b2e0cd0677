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
from fairlead.evaluation.compare_models.component import compare_models
from fairlead.evaluation.evaluate_model.component import evaluate_model
from fairlead.features.build_training_set.component import build_training_set
from fairlead.features.check_feature_skew.component import check_feature_skew
from fairlead.features.compute_features.component import compute_features
from fairlead.features.materialize_features.component import materialize_features
from fairlead.ingestion.ingest_dataset.component import ingest_dataset
from fairlead.ingestion.split_dataset.component import split_dataset
from fairlead.ingestion.validate_dataset.component import validate_dataset
from fairlead.optimization.export_model.component import export_model
from fairlead.optimization.quantize_model.component import quantize_model
from fairlead.registry.fetch_model.component import fetch_model
from fairlead.registry.register_model.component import register_model
from fairlead.training.train_model.component import train_model
from fairlead.tuning.tune_model.component import tune_model

__all__ = [
    "build_training_set",
    "check_feature_skew",
    "compare_models",
    "compute_features",
    "deploy_model",
    "evaluate_model",
    "export_model",
    "fetch_model",
    "ingest_dataset",
    "materialize_features",
    "quantize_model",
    "register_model",
    "roll_out_model",
    "split_dataset",
    "train_model",
    "tune_model",
    "validate_dataset",
]
