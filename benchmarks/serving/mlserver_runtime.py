"""What a user would write with MLServer: a runtime of their own. Runs in MLServer's own environment."""

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found] # lives in an environment of its own
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]
from session import open_session  # type: ignore[import-not-found] # beside the script that is run


class OnnxRuntime(MLModel):  # type: ignore[misc] # untyped from here
    """Predicts with ONNX Runtime."""

    async def load(self) -> bool:
        """Opens the graph."""
        self._session = open_session(self.settings.parameters.uri)
        self._input = self._session.get_inputs()[0].name
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predicts."""
        values = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        (probability,) = self._session.run(None, {self._input: values})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probability", probability)])
