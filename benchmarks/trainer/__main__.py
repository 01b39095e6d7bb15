"""`python -m benchmarks.trainer`: our trainer against plain TRL, one rank against two, its start, and its checkpoints.

Run by hand and for each release; it needs `make train`. Real processes throughout, one after the other on the same
recipe: a Qwen2 of two layers, 128 wide, which learns sums. The pull of the image is a part of a cold start that no
process on this machine can show: it is measured where there is a cluster.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Goal, Report, emit
from benchmarks.trainer import killed, runs
from benchmarks.trainer.killed import Run
from benchmarks.trainer.runs import RunFailed, Task, Times

PARTS = ("speed", "ranks", "start", "kills")
STEPS, EVERY_STEPS = 200, 25
KILLED_STEPS, KILLED_EVERY_STEPS = 120, 3
STARTS = 3
GOAL_SPEED, GOAL_MEMORY = 0.98, 1.05
Part = tuple[dict[str, Any], list[Goal]]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--pairs", type=int, default=5, help="of runs, one after the other, in speed and ranks")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the kills")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="rloop-trainer-"))
    try:
        task = runs.task(folder / "task", runs.recipe(STEPS, EVERY_STEPS))
        parts: dict[str, Callable[[], Part]] = {
            "speed": lambda: speed(_speed_pairs(task, folder / "speed", options.pairs)),
            "ranks": lambda: ranks(_rank_pairs(task, folder / "ranks", options.pairs)),
            "start": lambda: start(_starts(folder)),
            "kills": lambda: kills(_kills(folder, options.kills, options.seed)),
        }
        done = {name: parts[name]() for name in PARTS if name in options.parts}
    except (RunFailed, subprocess.TimeoutExpired) as error:
        sys.exit(str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    figures = {name: part[0] for name, part in done.items()}
    goals = [goal for part in done.values() for goal in part[1]]
    emit(Report("trainer", figures, goals), as_json=options.json, check=options.check)


# --- What is run -----------------------------------------------------------------------------------------------------


def _speed_pairs(task: Task, folder: Path, pairs: int) -> list[tuple[Times, Times]]:
    found = []
    for pair in range(pairs):
        found.append((runs.ours(task, folder / f"ours-{pair}"), runs.plain(task, folder / f"plain-{pair}")))
        _say(f"speed, pair {pair + 1}: ours {rate(found[-1][0]):.2f}, plain {rate(found[-1][1]):.2f} steps/s")
    return found


def _rank_pairs(task: Task, folder: Path, pairs: int) -> list[tuple[list[Times], list[Times]]]:
    found = []
    for pair in range(pairs):
        one, two = (runs.ranks(task, folder / f"{pair}-of-{size}", size) for size in (1, 2))
        found.append((one, two))
        _say(f"ranks, pair {pair + 1}: one {rate(one[0]):.2f}, two {rate(two[0]):.2f} steps/s")
    return found


def _starts(folder: Path) -> list[Times]:
    task = runs.task(folder / "short", runs.recipe(2, 1))
    return [runs.ours(task, folder / "start" / str(number)) for number in range(STARTS)]


def _kills(folder: Path, number: int, seed: int) -> list[Run]:
    task = runs.task(folder / "killed", runs.recipe(KILLED_STEPS, KILLED_EVERY_STEPS))
    return killed.runs(task, folder / "kills", number, seed)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


# --- What it comes to ------------------------------------------------------------------------------------------------


def rate(times: Times, skip: int = EVERY_STEPS) -> float:
    """Steps a second from the end of step `skip` to the end of the last, the saves between them included."""
    return (len(times.steps) - skip) / (times.steps[-1] - times.steps[skip - 1])


def spread(values: Iterable[float], digits: int = 3) -> dict[str, float]:
    """Median and both ends."""
    found = sorted(values)
    return {
        "median": round(median(found), digits),
        "min": round(found[0], digits),
        "max": round(found[-1], digits),
    }


def speed(pairs: Sequence[tuple[Times, Times]]) -> Part:
    """Our trainer beside plain TRL. Each pair has its own ratio: what slows the machine for a while slows both."""
    ours, plain = zip(*pairs, strict=True)
    faster = spread(rate(one) / rate(other) for one, other in pairs)
    larger = spread(one.peak / other.peak for one, other in pairs)
    figures = {
        "pairs": len(pairs),
        "stepsPerSecond": {"ours": spread(map(rate, ours)), "plain": spread(map(rate, plain)), "ratio": faster},
        "stepMilliseconds": {"ours": spread(map(usual_step, ours), 1), "plain": spread(map(usual_step, plain), 1)},
        "saveMilliseconds": {"ours": spread(map(usual_save, ours), 1), "plain": spread(map(usual_save, plain), 1)},
        "peakMiB": {
            "ours": spread((one.peak for one in ours), 1),
            "plain": spread((one.peak for one in plain), 1),
            "ratio": larger,
        },
    }
    goals = [
        Goal(
            "steps/s, ours over plain TRL (median of the pairs)",
            faster["median"],
            f">= {GOAL_SPEED}",
            met=faster["median"] >= GOAL_SPEED,
        ),
        Goal(
            "peak memory, ours over plain TRL (median of the pairs)",
            larger["median"],
            f"<= {GOAL_MEMORY}",
            met=larger["median"] <= GOAL_MEMORY,
        ),
    ]
    return figures, goals


def usual_step(times: Times) -> float:
    """The median step after the first ones, in milliseconds: it has no save."""
    return 1000 * median(_between(times))


def usual_save(times: Times) -> float:
    """How much longer the median step is before which a checkpoint is saved, in milliseconds."""
    return 1000 * median(_between(times)[::EVERY_STEPS]) - usual_step(times)


def _between(times: Times) -> list[float]:
    """From the end of each step to the next, from the first saved one on."""
    return [after - before for before, after in pairwise(times.steps[EVERY_STEPS - 1 :])]


def ranks(pairs: Sequence[tuple[Sequence[Times], Sequence[Times]]]) -> Part:
    """Two ranks beside one, with the same completions in a step; one thread a rank. No goal: it is what it is."""
    figures = {
        "pairs": len(pairs),
        "stepsPerSecond": {
            "1": spread(rate(one[0]) for one, _ in pairs),
            "2": spread(rate(two[0]) for _, two in pairs),
            "ratio": spread(rate(two[0]) / rate(one[0]) for one, two in pairs),
        },
        "peakMiBOfAllRanks": {
            "1": spread((sum(rank.peak for rank in one) for one, _ in pairs), 1),
            "2": spread((sum(rank.peak for rank in two) for _, two in pairs), 1),
        },
    }
    return figures, []


def start(found: Sequence[Times]) -> Part:
    """A start, in parts; the files are in the system's cache and the start model is made."""
    figures = {
        "starts": len(found),
        "seconds": {
            "process": spread(one.begun - one.spawned for one in found),
            "imports": spread(one.imported - one.begun for one in found),
            "modelReady": spread(one.ready - one.imported for one in found),
            "firstStep": spread(one.steps[0] - one.ready for one in found),
            "all": spread(one.steps[0] - one.spawned for one in found),
        },
        "image": "not measured here: its pull and unpacking need a cluster",
    }
    return figures, []


def kills(runs: Sequence[Run]) -> Part:
    """What a campaign of kills showed; the first run was left alone."""
    reference, *killed = runs
    ended = sum(run.is_whole for run in runs)
    wrong = [one for run in runs for one in run.wrong]
    half_written = sum("half written" in one for one in wrong)
    failed = [one for run in runs for one in run.failed]
    figures = {
        "runs": len(runs),
        "kills": dict(Counter(aim for run in killed for aim in run.kills)),
        "resumes": sum(run.resumed for run in killed),
        "wrong": wrong + failed,
    }
    elsewhere = len(wrong) - half_written
    same = sum(run.model == reference.model for run in killed)
    halves = sum(run.halves for run in killed)
    goals = [
        # Without one, the next goal would be met by chance.
        Goal("kills that left half a checkpoint", halves, ">= 1", met=halves >= 1),
        Goal("half-written checkpoints loaded", half_written, "== 0", met=half_written == 0),
        Goal("starts from elsewhere than the newest whole one", elsewhere, "== 0", met=elsewhere == 0),
        Goal("starts that failed", len(failed), "== 0", met=not failed),
        Goal("runs with one line for each step, and a model", ended, f"== {len(runs)}", met=ended == len(runs)),
        Goal("killed runs with the model of the unkilled one", same, f"== {len(killed)}", met=same == len(killed)),
    ]
    return figures, goals


if __name__ == "__main__":
    main()
