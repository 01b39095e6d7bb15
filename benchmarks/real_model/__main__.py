"""`make demo-model`: real language models of 1.5 and 0.135 billion parameters research on this machine's CPU.

Nothing is scripted: the model, its server, the LLM proxy, the agent, the campaign and the judge are real. Each campaign
ends when its runs are used up, when the target is met, or after a number of sessions or minutes. `--agents llm both
policy` compares the model alone, the model with an optimiser for the numbers, and the optimiser alone, at equal numbers
of runs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean

from benchmarks.real_model.campaigns import AGENTS, TASKS, Limits, Row, run
from benchmarks.real_model.model import MODELS, fetched, served
from benchmarks.report import Goal, Report, emit


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="qwen-1.5b")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--agents", nargs="+", choices=AGENTS, default=["llm"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--sessions", type=int, default=10, help="after which a campaign is stopped")
    parser.add_argument("--runs", type=int, default=200, help="budget of a campaign")
    parser.add_argument("--minutes", type=float, default=60, help="after which a campaign is stopped")
    parser.add_argument("--dir", type=Path, default=Path("runs/real-model"), help="where the run folders are kept")
    parser.add_argument("--optional", action="store_true", help="exit 0 if the model's packages cannot be had")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    return parser.parse_args()


def _shown(row: Row) -> str:
    kept = "nothing kept" if row.first_keep is None else f"{row.keeps} kept, the first in session {row.first_keep}"
    values = (
        f"{row.baseline:.4g} -> {row.best:.4g}" if row.baseline is not None and row.best is not None else "no value"
    )
    return (
        f"{row.task} ({row.agent}, seed {row.seed}): {kept}; {values}; {row.playing} of {row.sessions} sessions "
        f"submitted {row.experiments} experiments; {row.runs} runs, {row.tokens} tokens, {row.seconds:.0f} s; "
        f"ended: {row.ended}"
    )


def _goals(rows: Sequence[Row], model: str) -> Iterable[Goal]:
    """Of the larger model a keep in each campaign. Of the smaller one only that it takes part."""
    asked = [row for row in rows if row.agent != "policy"]
    for task in dict.fromkeys(row.task for row in asked):
        own = [row for row in asked if row.task == task]
        name, met = "the model answered", [row.tokens > 0 for row in own]
        if model == "qwen-1.5b":
            name, met = "something was kept", [row.keeps > 0 for row in own]
        yield Goal(f"{task}: campaigns in which {name}", sum(met), f"= {len(own)}", all(met))


def _compared(rows: Sequence[Row], tasks: Iterable[str], agents: Iterable[str]) -> dict[str, dict[str, float]]:
    """Mean of the best verified values, by task and agent."""
    found: dict[str, dict[str, float]] = {}
    for task in tasks:
        for agent in agents:
            best = [row.best for row in rows if (row.task, row.agent) == (task, agent) and row.best is not None]
            if best:
                found.setdefault(task, {})[agent] = round(mean(best), 4)
    return found


def main() -> None:
    """Run the campaigns one after the other: a second one would share the CPU with the model."""
    told = _arguments()
    try:
        fetched(told.model)
    except subprocess.CalledProcessError:
        print(f"the packages of {MODELS[told.model].title} cannot be installed; pip says above why", flush=True)
        sys.exit(0 if told.optional else 1)
    rows, limits = list[Row](), Limits(told.runs, told.sessions, told.minutes)
    with served(told.model) as url:
        for task in told.tasks:
            for seed in told.seeds:
                for agent in told.agents:
                    folder = told.dir / f"{task}-{agent}-{seed}"
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.mkdir(parents=True)
                    rows.append(run(task, agent, seed, url, folder, limits))
                    if not told.json:
                        print(_shown(rows[-1]), flush=True)
    figures = {
        "model": MODELS[told.model].title,
        "best": _compared(rows, told.tasks, told.agents),
        "campaigns": [asdict(row) for row in rows],
    }
    emit(Report("real_model", figures, list(_goals(rows, told.model))), as_json=told.json, check=told.check)


if __name__ == "__main__":
    main()
