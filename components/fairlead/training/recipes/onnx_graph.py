"""The tabular network as an ONNX graph, from raw inputs to the probability.

The exporter is torch's older one, by tracing. For this network both give the same nodes, but the newer
(`dynamo=True`) took 6 to 8 s and 105 MB of imports where tracing takes 0.4 s (torch 2.13, 2 cores), in a step that
otherwise takes 5 s. What comes out is checked against torch on real rows either way (export_model).
"""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from fairlead.training.recipes.network import TabularNetwork

OPSET = 20


class _Served(nn.Module):
    """The network with the sigmoid, taking only the inputs that have columns."""

    def __init__(self, network: TabularNetwork, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *given: Tensor) -> Tensor:
        tensors = dict(zip(self.names, given, strict=True))
        rows = given[0].shape[0]
        numeric = tensors.get("numeric", torch.zeros(rows, 0))
        categorical = tensors.get("categorical", torch.zeros(rows, 0, dtype=torch.int64))
        return torch.sigmoid(self.network(numeric, categorical))


def write_onnx(network: TabularNetwork, path: Path) -> None:
    """Writes the graph: `numeric` float32 (N, F) and `categorical` int64 (N, C) in, `probability` float32 (N,) out.

    Args:
        network: In evaluation mode.
        path: The file; an input without columns is left out of the graph.
    """
    examples = {"numeric": torch.zeros(2, len(network.median))}
    examples["categorical"] = torch.zeros(2, len(network.embeddings), dtype=torch.int64)
    names = [name for name, example in examples.items() if example.shape[1]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is the older one; see above
        torch.onnx.export(
            _Served(network, names).eval(),
            tuple(examples[name] for name in names),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=names,
            output_names=["probability"],
            dynamic_axes={name: {0: "rows"} for name in [*names, "probability"]},
        )
