"""A stand-in for `python -m fairlead_serving` that behaves as told: it fails, is slow, hangs or crashes on purpose.

    python tests/servers.py --name m --digest sha256:… --port P --package DIR --predictions DIR

It answers the same paths with the same headers and keeps the same logs. `behaviour.json` in the package's folder says
how it is to behave: {"fail": 0.1, "slow": 0.3, "hang": 0.1, "probability": 0.3, "exit": 3, "status": 500,
"exit_after": 50 (requests), "leak": 1048576 (bytes a request), "start_seconds": 5, "garbage": 1, "spread": 1 (answers
0.01 and 0.99 in turn)}.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class Server:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.name, self.digest = arguments.name, arguments.digest
        self.folder = Path(arguments.predictions)
        self.folder.mkdir(parents=True, exist_ok=True)
        file = Path(arguments.package) / "behaviour.json"
        self.behaviour: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
        log = f"predictions-{self.digest.removeprefix('sha256:')[:12]}-{os.getpid()}.jsonl"
        self.asked, self.leaked = 0, list[bytes]()
        self.predictions = (self.folder / log).open("a", buffering=1)
        self.feedback = (self.folder / f"feedback-{os.getpid()}.jsonl").open("a", buffering=1)

    async def ready(self, request: Request) -> JSONResponse:
        return self.answer({"ready": True})

    async def predict(self, request: Request) -> JSONResponse:
        instances = (await request.json())["instances"]
        identity = request.headers.get("x-request-id", str(uuid.uuid4()))
        await asyncio.sleep(self.behaviour.get("slow", 0))
        self.asked += 1
        if self.asked > self.behaviour.get("exit_after", float("inf")):
            os._exit(9)
        if "leak" in self.behaviour:
            self.leaked.append(b"x" * int(self.behaviour["leak"]))
        if "garbage" in self.behaviour:
            return self.answer("\x00 not a prediction", identity=identity)
        if random.random() < self.behaviour.get("hang", 0):
            await asyncio.sleep(30)
        if random.random() < self.behaviour.get("fail", 0):
            return self.answer({"error": "told to fail"}, int(self.behaviour.get("status", 500)))
        probability = self.behaviour.get("probability", 0.3)
        if "spread" in self.behaviour:
            probability = 0.99 if self.asked % 2 else 0.01
        for row in range(len(instances)):
            self.predictions.write(json.dumps(self.entry(identity, row, probability)) + "\n")
        predictions = [{"probability": probability, "late": probability >= 0.5} for _ in instances]
        return self.answer({"predictions": predictions}, identity=identity)

    async def give_feedback(self, request: Request) -> JSONResponse:
        given = await request.json()
        self.feedback.write(json.dumps({**given, "time": time.time()}) + "\n")
        return self.answer({})

    def entry(self, identity: str, row: int, probability: float) -> dict[str, Any]:
        return {"request_id": identity, "row": row, "digest": self.digest, "probability": probability, "seconds": 0.001}

    def answer(self, content: Any, status: int = 200, identity: str = "-") -> JSONResponse:
        return JSONResponse(content, status, headers={"x-fairlead-digest": self.digest, "x-request-id": identity})


def main() -> None:
    """Serves until it is told to end."""
    parser = argparse.ArgumentParser()
    for option in ("--name", "--digest", "--package", "--predictions", "--host"):
        parser.add_argument(option, default="127.0.0.1" if option == "--host" else None)
    parser.add_argument("--port", type=int)
    parser.add_argument("--features", default=None)
    arguments = parser.parse_args()
    server = Server(arguments)
    if "exit" in server.behaviour:
        sys.stderr.write("told to exit\n")
        sys.exit(int(server.behaviour["exit"]))
    time.sleep(server.behaviour.get("start_seconds", 0))
    routes = [
        Route(f"/v1/models/{server.name}:predict", server.predict, methods=["POST"]),
        Route(f"/v1/models/{server.name}:feedback", server.give_feedback, methods=["POST"]),
        Route(f"/v2/models/{server.name}", server.ready),
        Route(f"/v2/models/{server.name}/ready", server.ready),
    ]
    uvicorn.run(Starlette(routes=routes), host=arguments.host, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
