"""`python -m benchmarks.seeds` (`make demo-seeds`): example 01 for real, with ten seeds, two campaigns at a time.

Nothing is simulated: `rloop run` in temporary run folders, on copies of loop.yaml with another agent.policy.seed each.
It shows how far one campaign's luck reaches: the README's demo is one of these seeds, not the best of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import yaml

from benchmarks.report import Goal, Report, emit
from rloop_operator.cli.sources.read_folder import look
from rloop_operator.cli.sources.snapshot import Snapshot

EXAMPLE = Path(__file__).parent.parent / "examples" / "01-kuhn-selfplay"
TIMEOUT_SECONDS = 900
RLOOP = "from rloop_operator.cli.main import main; main()"
"""The command `rloop`, whether or not it is installed as a script."""
AT_ONCE = 2
NINE_IN_TEN = 0.9


@dataclass(frozen=True, slots=True)
class Row:
    """One campaign."""

    seed: int
    met: bool
    value: float | None
    proposals: int
    runs: int
    pivots: int
    stale: int
    """Stale iterations: a plateau is two of them in a row."""
    seconds: float
    ended: str


def manifest(seed: int, folder: Path) -> Path:
    """loop.yaml with this seed of the agent; its paths point to the example's own folders."""
    document = yaml.safe_load((EXAMPLE / "loop.yaml").read_text(encoding="utf-8"))
    spec = document["spec"]
    spec["agent"]["policy"]["seed"] = seed
    spec["task"]["path"] = os.path.relpath(EXAMPLE / "task", folder)
    spec["evaluation"]["code"]["path"] = os.path.relpath(EXAMPLE / "evaluation", folder)
    path = folder / "loop.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return path


def campaign(seed: int) -> Row:
    """Run one and read its result from its run folder."""
    with tempfile.TemporaryDirectory(prefix="rloop-seeds-") as name:
        folder = Path(name)
        command = [sys.executable, "-c", RLOOP, "run", str(manifest(seed, folder))]
        began = time.monotonic()
        done = subprocess.run(
            [*command, "--dir", str(folder / "run")],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
        seconds = time.monotonic() - began
        if done.returncode not in (0, 3):
            raise RuntimeError(f"seed {seed}: rloop run ended with {done.returncode}: {done.stderr[-2000:]}")
        return _row(seed, look(folder / "run").snapshot, seconds)


def _row(seed: int, found: Snapshot, seconds: float) -> Row:
    status = found.loop.status
    ended = next((one for one in status.conditions if one.type == "Complete" and one.status == "True"), None)
    return Row(
        seed=seed,
        met=ended is not None and ended.reason == "TargetMet",
        value=status.final.value if status.final else status.best.value if status.best else None,
        proposals=status.budget.used.experiments,
        runs=status.budget.used.runs,
        pivots=status.pivots,
        stale=sum(one.status.outcome == "Stale" for one in found.iterations.values()),
        seconds=round(seconds, 1),
        ended=ended.reason if ended else "Unfinished",
    )


def line(row: Row) -> str:
    """One campaign in one line."""
    value = "-" if row.value is None else f"{row.value:.4f}"
    return (
        f"seed {row.seed:2}  {'met   ' if row.met else 'missed'}  nashconv {value}  {row.proposals:3} proposals"
        f"  {row.runs:3} runs  {row.pivots} pivots  {row.stale} stale iterations  {row.seconds:5.1f} s  {row.ended}"
    )


def report(rows: Iterable[Row]) -> Report:
    """The summary."""
    found = list(rows)
    met = [row for row in found if row.met]
    figures = {
        "campaigns": [asdict(row) for row in found],
        "met": len(met),
        "medians": {
            "value": median(row.value for row in met if row.value is not None) if met else None,
            "proposals": median(row.proposals for row in found),
            "runs": median(row.runs for row in found),
            "pivots": median(row.pivots for row in found),
            "seconds": median(row.seconds for row in found),
        },
    }
    share, forced = len(met) / len(found), sum(row.pivots >= 1 and row.stale >= 1 for row in met)
    goals = [
        Goal("share of the campaigns that met the target", round(share, 3), ">= 0.9", share >= NINE_IN_TEN),
        Goal("of these: after a plateau and a pivot", forced, f"= {len(met)} of {len(met)}", forced == len(met)),
    ]
    return Report("seeds", figures, goals)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Example 01 with several seeds, for real.")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--campaigns", type=int, default=10, help="seeds 1 to this number")
    chosen = parser.parse_args()
    rows = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for row in pool.map(campaign, range(1, chosen.campaigns + 1)):
            rows.append(row)
            if not chosen.json:
                print(line(row), flush=True)
    emit(report(rows), as_json=chosen.json, check=chosen.check)


if __name__ == "__main__":
    main()
