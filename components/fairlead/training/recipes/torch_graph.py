"""A trained torch module about to leave torch: its own predictions, and its ONNX graph from raw inputs to the answer.

The exporter is torch's older one, by tracing. For these networks both give the same nodes, but the newer
(`dynamo=True`) took 6 to 8 s and 105 MB of imports where tracing takes 0.4 s (torch 2.13, 2 cores), in a step that
otherwise takes 5 s. What comes out is checked against torch on real rows either way (export_model).
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from fairlead.training.recipes.graph_inputs import example_tensors, model_inputs
from fairlead.training.recipes.learning import IMAGE_BATCH, TABLE_BATCH, Inputs, raw_scores
from fairlead.training.recipes.protocol import Design, Tensors
from fairlead.training.tabular import encode_inputs
from fairlead_serving.images import read_images
from fairlead_serving.package import OUTPUTS, ModelInput

if TYPE_CHECKING:
    import pyarrow as pa

OPSET = 20


def served_output(raw: Tensor, task: str) -> Tensor:
    """Turns raw scores into the task's answer: probabilities, or the score itself."""
    if task == "binary":
        return torch.sigmoid(raw)
    return torch.softmax(raw, dim=1) if task == "multiclass" else raw


class _Served(nn.Module):
    """The module with its last step, taking only the inputs that have columns."""

    def __init__(self, module: nn.Module, design: Design, names: list[str]) -> None:
        super().__init__()
        self.module, self.design, self.names = module, design, names

    def forward(self, *given: Tensor) -> Tensor:
        tensors, rows = dict(zip(self.names, given, strict=True)), given[0].shape[0]
        if self.design.model.image:
            raw = self.module(tensors[self.design.model.image])
        else:
            numeric = tensors.get("numeric", torch.zeros(rows, 0))
            raw = self.module(numeric, tensors.get("categorical", torch.zeros(rows, 0, dtype=torch.int64)))
        return served_output(raw, self.design.model.task)


class TorchGraph:
    """A trained module; see `fairlead.training.recipes.protocol.Graph`.

    Attributes:
        framework: torch.
        module: In evaluation mode.
        design: What it was made by.
    """

    framework = "torch"

    def __init__(self, module: nn.Module, design: Design) -> None:
        """Wraps a module."""
        self.module, self.design = module.eval(), design

    @property
    def example(self) -> Tensors:
        """One row of zeros for each input tensor."""
        return example_tensors(self.design)

    def inputs(self) -> tuple[ModelInput, ...]:
        """The model's input columns; see `Graph.inputs`."""
        return model_inputs(self.design)

    def predict(self, table: "pa.Table") -> Tensors:
        """Predicts with torch; see `Graph.predict`."""
        model = self.design.model
        raw = torch.from_numpy(
            raw_scores(self.module, self._encode(table), IMAGE_BATCH if model.image else TABLE_BATCH)
        )
        return {OUTPUTS[model.task]: np.asarray(served_output(raw, model.task).numpy(), dtype=np.float32)}

    def _encode(self, table: "pa.Table") -> Inputs:
        model = self.design.model
        if model.image:
            files = table[model.image].to_pylist()
            return (torch.from_numpy(read_images(model.image, files, self.design.image_shape)),)
        numeric, categorical = encode_inputs(table, model, self.design.vocabularies)
        return torch.from_numpy(numeric), torch.from_numpy(categorical)

    def write_onnx(self, path: Path) -> None:
        """Writes the ONNX graph; see `Graph.write_onnx`."""
        examples, output = self.example, OUTPUTS[self.design.model.task]
        served = _Served(self.module, self.design, list(examples)).eval()
        two_rows = tuple(torch.from_numpy(np.repeat(value, 2, axis=0)) for value in examples.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that this exporter is the older one; see above
            torch.onnx.export(
                served,
                two_rows,
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=list(examples),
                output_names=[output],
                dynamic_axes={name: {0: "rows"} for name in [*examples, output]},
            )
