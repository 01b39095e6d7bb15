"""`python -m benchmarks.trainer.probe CLOCK MODULE [ARGUMENT ...]`: runs a module as a command, with a clock in it.

Started by `benchmarks.trainer.runs` for our trainer and for plain TRL alike. transformers gives every trainer its list
of default callbacks; the clock is put there, so that neither side is changed and both carry the same weight, one look
at the time a step. The libraries are imported first, so that their share of a start is seen.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys
import time
from pathlib import Path
from typing import Any

RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """See the module."""
    begun = time.monotonic()
    file, module = Path(sys.argv[1]), sys.argv[2]
    from transformers import TrainerCallback, trainer
    from trl import GRPOTrainer  # noqa: F401  # its import is what takes the time

    imported = time.monotonic()

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is not typed; here, as its import is timed
        """When the training begins and when each step ends."""

        def __init__(self) -> None:
            self.ready = 0.0
            self.steps: list[float] = []

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.ready = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.steps.append(time.monotonic())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            # Now, not at the end: Python's farewell to torch touches 100 MiB more, and our trainer takes none.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT / 2**20
            times = {"begun": begun, "imported": imported, "ready": self.ready, "steps": self.steps, "peak": peak}
            file.write_text(json.dumps(times), encoding="utf-8")

    trainer.DEFAULT_CALLBACKS.append(Clock())
    sys.argv = [module, *sys.argv[3:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
