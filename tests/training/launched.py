"""What test_distributed launches: all of an engine's runs in one launch, because a launch is slow.

    accelerate launch ... -m tests.training.launched RUNS.json

RUNS.json: `{"raw": configuration, "resume": whether it is continued, "stops": steps at which SIGTERM comes}` each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from tunewright.config import load
from tunewright.errors import Interrupted
from tunewright.run import train
from tunewright.training.progress import Listener


class StopAt(Listener):
    """The main process, which alone hears of steps, gets a SIGTERM after one of them."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step(self, state, log) -> None:
        if state.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    for run in json.loads(Path(sys.argv[1]).read_text()):
        resume = run["resume"]
        for step in run["stops"]:
            try:
                train(load(run["raw"]), resume=resume, listener=StopAt(step))
            except Interrupted:
                assert step is not None
            else:
                assert step is None, f"nothing stopped {run['raw']['out']} at step {step}"
            resume = True
    assert torch.distributed.get_world_size() == 2


if __name__ == "__main__":
    main()
