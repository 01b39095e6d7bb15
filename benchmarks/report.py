"""What every benchmark prints: its figures and its goals, as JSON for machines or as lines for people.

Called by each `benchmarks.NAME`. A missed goal is printed as a miss; only `--check` makes it an exit code.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Goal:
    """One number that was promised."""

    name: str
    value: float
    goal: str
    """The promise in words, such as `< 5.0`."""
    met: bool


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one benchmark."""

    benchmark: str
    figures: dict[str, Any]
    goals: list[Goal]


def machine() -> dict[str, Any]:
    """What the figures were taken on; no names of hosts or users."""
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memoryGiB": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
    }


def emit(report: Report, *, as_json: bool, check: bool) -> None:
    """Print the report; exit 1 if a goal is missed and `check` asks for that."""
    goals = [asdict(goal) for goal in report.goals]
    if as_json:
        document = {"benchmark": report.benchmark, "machine": machine(), "figures": report.figures, "goals": goals}
        print(json.dumps(document, indent=2))
    else:
        print(f"{report.benchmark} on {machine()}")
        print(json.dumps(report.figures, indent=2))
        for goal in report.goals:
            print(f"{'met   ' if goal.met else 'MISSED'}  {goal.name}: {goal.value} (goal {goal.goal})")
    if check and not all(goal.met for goal in report.goals):
        sys.exit(1)
