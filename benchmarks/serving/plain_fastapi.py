"""What a user would write with FastAPI: one async route, pydantic for JSON, raw bytes for binary.

python benchmarks/serving/plain_fastapi.py PACKAGE PORT
"""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from session import open_session  # type: ignore[import-not-found] # beside the script that is run

SESSION = open_session(sys.argv[1])
INPUT = SESSION.get_inputs()[0]
app = FastAPI()


class Rows(BaseModel):
    """The rows of a request."""

    rows: list[list[float]]


@app.post("/predict")
async def predict(given: Rows) -> dict[str, list[float]]:
    """Predicts from JSON."""
    (probability,) = SESSION.run(None, {INPUT.name: np.asarray(given.rows, dtype=np.float32)})
    return {"probability": probability.tolist()}


@app.post("/predict-binary")
async def predict_binary(request: Request) -> Response:
    """Predicts from one row of raw bytes."""
    dtype = np.uint8 if "uint8" in INPUT.type else np.float32
    values = np.frombuffer(await request.body(), dtype).reshape(1, *INPUT.shape[1:])
    (probability,) = SESSION.run(None, {INPUT.name: values})
    return Response(probability.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)
