"""`python -m benchmarks.history`: what a long campaign costs where something is made of all of its objects.

Run by hand. CPU seconds for the text of `rloop report`, for the first lines of `rloop run` that goes on with the
campaign, and for its files below state/ and logs/. Linear work takes ten times as long for ten times the experiments.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from benchmarks.campaigns.history import history
from benchmarks.report import Goal, Report, emit
from rloop.observed import Observed
from rloop_operator.cli.commands import report
from rloop_operator.cli.sources.source import Source
from rloop_operator.cli.views.story import Story, snapshot_of
from rloop_operator.local.protocol.files import ProtocolFiles
from rloop_operator.local.storage.layout import RunFolder

GOAL_SECONDS = 5.0


def text_of_report(seen: Observed) -> None:
    """`rloop report`."""
    # It asks the source for nothing but the files of the best, and there is none.
    "\n".join(report.text(snapshot_of(seen), cast("Source", None)))


def first_lines(seen: Observed) -> None:
    """`rloop run` on a campaign under way."""
    Story().lines(seen)


def files(seen: Observed) -> None:
    """The protocol's files, all written anew."""
    with tempfile.TemporaryDirectory(prefix="rloop-history-") as folder:
        ProtocolFiles(RunFolder(Path(folder))).render(seen)


PARTS: dict[str, Callable[[Observed], None]] = {"report": text_of_report, "run": first_lines, "files": files}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000], help="experiments")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    figures = {
        part: {str(size): _cpu_seconds(do, history(size)) for size in options.sizes} for part, do in PARTS.items()
    }
    largest = str(max(options.sizes))
    goals = [
        Goal(
            f"{part}, {largest} experiments, CPU s",
            times[largest],
            f"<= {GOAL_SECONDS}",
            times[largest] <= GOAL_SECONDS,
        )
        for part, times in figures.items()
    ]
    emit(Report("history", {"cpuSeconds": figures}, goals), as_json=options.json, check=options.check)


def _cpu_seconds(do: Callable[[Observed], None], seen: Observed) -> float:
    begun = time.process_time()
    do(seen)
    return round(time.process_time() - begun, 3)


if __name__ == "__main__":
    main()
