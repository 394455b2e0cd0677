"""What a user would write with kserve: a Model behind kserve's own server, as it comes.

python benchmarks/serving/stock_kserve.py PACKAGE PORT GRPC_PORT
"""

import sys
from typing import Any

import numpy as np
from kserve.model import Model
from kserve.model_server import ModelServer
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse
from session import open_session  # type: ignore[import-not-found] # beside the script that is run


class OnnxModel(Model):  # type: ignore[misc] # kserve is untyped
    """Predicts with ONNX Runtime."""

    def __init__(self, name: str, package: str) -> None:
        super().__init__(name)
        self._session = open_session(package)
        self._input = self._session.get_inputs()[0].name
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None) -> InferResponse:  # noqa: ARG002 - kserve's signature
        """Predicts."""
        values = payload.inputs[0].as_numpy().astype(np.float32, copy=False)
        (probability,) = self._session.run(None, {self._input: values})
        output = InferOutput("probability", list(probability.shape), "FP32")
        output.set_data_from_numpy(probability, binary_data=bool(payload.inputs[0].parameters))
        return InferResponse(payload.id or "1", self.name, [output])


if __name__ == "__main__":
    package, port, grpc_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    ModelServer(http_port=port, grpc_port=grpc_port, workers=1).start([OnnxModel("tabular", package)])
