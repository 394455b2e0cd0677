"""The client behind `open_loop` for V2 over gRPC: one channel, as many calls at once as are due."""

import asyncio
from collections.abc import Sequence

import numpy as np
from grpc import StatusCode, aio  # type: ignore[import-untyped]

from fairlead.evaluation.serving_trial.grpc_client import OPTIONS
from fairlead.evaluation.serving_trial.grpc_messages import SERVICE
from fairlead.evaluation.serving_trial.load_client import LATE, LOST, LoadRecord

OK, REFUSED, FAILED = 200, 400, 500
_UNANSWERED = {StatusCode.UNAVAILABLE: LOST, StatusCode.DEADLINE_EXCEEDED: LATE}


class GrpcLoadClient(LoadRecord):
    """Sends encoded messages of ModelInfer.

    Args:
        host: The server's address.
        port: Its gRPC port.
        wires: Encoded messages, taken in turn.
        due: (N,) seconds from the start at which each is to be sent.
    """

    def __init__(self, host: str, port: int, wires: Sequence[bytes], due: np.ndarray) -> None:
        super().__init__(due)
        self._wires = wires
        self._channel = aio.insecure_channel(f"{host}:{port}", options=OPTIONS)
        self._infer = self._channel.unary_unary(f"{SERVICE}ModelInfer")
        self._calls: dict[int, asyncio.Task[None]] = {}

    def notice(self, index: int) -> None:
        """Makes a call."""
        super().notice(index)
        self._calls[index] = asyncio.get_running_loop().create_task(self._call(index))

    async def _call(self, index: int) -> None:
        try:
            await self._infer(self._wires[index % len(self._wires)])
            status = OK
        except aio.AioRpcError as error:
            status = _UNANSWERED.get(error.code(), REFUSED if error.code() == StatusCode.INVALID_ARGUMENT else FAILED)
        except asyncio.CancelledError:
            status = LATE
        del self._calls[index]
        self.finish(index, status)

    def give_up(self, now: float, timeout_seconds: float) -> None:
        """Cancels calls whose time is up."""
        for index, call in self._calls.items():
            if now - self.started - self.noticed[index] > timeout_seconds:
                call.cancel()

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()
