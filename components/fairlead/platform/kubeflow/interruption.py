"""What a cluster does to end a pod is taken as an interrupt, so that what the pod has started elsewhere ends too."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interruptible() -> Iterator[None]:
    """Raises KeyboardInterrupt inside the block where the process is told to end (SIGTERM), as Ctrl-C does.

    Only the main thread hears signals; in another one the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Lets the block end what it has begun: further requests to end the process wait until it is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    heard: list[int] = []
    before = [signal.signal(number, lambda got, _frame: heard.append(got)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    if heard:
        raise KeyboardInterrupt


def _interrupt(_number: int, _frame: Any) -> None:
    raise KeyboardInterrupt
