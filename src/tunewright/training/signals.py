"""Ctrl-C and SIGTERM as a request: finish the step, write a checkpoint, go (R10)."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """While it is entered, the first signal only sets `signal_number`; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # only there may handlers be set
            for number in (signal.SIGINT, signal.SIGTERM):
                self.before[number] = signal.signal(number, self.handle)
        return self

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None:
            os._exit(128 + number)
        self.signal_number = number

    def __exit__(self, *details: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
