"""`python -m benchmarks.aa`: how often the loop keeps what is no gain, how many gains it keeps, and at what cost.

Run by `make bench`. Whole campaigns of 100 proposals through the shipped shell with simulated measurements (see
`benchmarks.campaigns.noise`), for four families of noise, beside a greedy keep-if-better. Scenario A: one proposal in
ten is better than the incumbent by 2 SD, and the incumbent moves. Scenario B: no proposal has any effect. Two more rows
hold faults of a judge that trusts each value: wild runs, and an incumbent whose runs have two modes.

The frontier over falseKeepRate and Economy, from which a user chooses, asks judge() alone (acceptance_model): a
hundred times faster, and the rows of the present setting show that both agree.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Final

import structlog

from benchmarks.acceptance_model import GAINS, NO_OPS, Scenario, Tally, simulate
from benchmarks.campaigns.noise import Setting, campaign
from benchmarks.report import Goal, Report, emit
from rloop.decide.statistics.acceptance import Acceptance, procedure

FAMILIES: Final = {"gaussian": "normal", "t3": "t3", "skewed": "exponential", "bimodal": "bimodal"}
"""Skewed: the tail on the good side, which is the harder one. acceptance_model has five families more."""
STEADY: Final = Scenario(gain_share=1.0, gain=10.0, proposals=20)
"""Proposals without a second mode, 10 SD better than the incumbent's better mode."""
RATES: Final = (0.002, 0.005, 0.01, 0.02, 0.05)
CHUNK: Final = 5


@dataclass(frozen=True, slots=True)
class Row:
    """Campaigns of one kind."""

    title: str
    noise: str
    setting: Setting
    campaigns: int


@dataclass(frozen=True, slots=True)
class Job:
    """Some campaigns of a row, which one process runs."""

    row: int
    setting: Setting
    seed: int
    count: int

    @property
    def name(self) -> str:
        """The same for the same campaigns, whatever else is run."""
        return f"{self.setting!r}, {self.count} campaigns from seed {self.seed}"


def plan(campaigns: int) -> list[Row]:
    """What is run, the longest first. Greedy and power need fewer campaigns: their figures are large."""
    rows = []
    fewer = max(1, campaigns // 10)
    for noise, family in FAMILIES.items():
        rows.append(Row("A: 10 % gains of 2 SD", noise, Setting(GAINS, family), campaigns))
        # Nothing moves here, so five at once change nothing but the speed.
        rows.append(Row("B: no-ops only", noise, Setting(NO_OPS, family, parallelism=5), campaigns))
        greedy = Setting(GAINS, family, acceptance="Provisional")
        rows.append(Row("greedy in A", noise, greedy, fewer))
    rows.append(Row("wild runs in A", "gaussian", Setting(GAINS, "normal", fault="wild runs"), fewer))
    rows.append(Row("unstable incumbent", "bimodal", Setting(STEADY, "normal", fault="unstable incumbent"), fewer))
    sizes = [Scenario(0.1, size) for size in (1.0, 3.0, 4.0)]
    rows += [Row(f"power at {one.gain:g} SD", "gaussian", Setting(one, "normal"), fewer) for one in sizes]
    return rows


def run(rows: list[Row], seed: int, processes: int, finished: Path | None = None) -> list[Tally]:
    """One tally for each row, over several processes. What a file of an earlier command has is not run again."""
    jobs = [
        Job(index, row.setting, seed * 1_000_000 + start, min(CHUNK, row.campaigns - start))
        for index, row in enumerate(rows)
        for start in range(0, row.campaigns, CHUNK)
    ]
    known = _read(finished)
    tallies = [Tally() for _ in rows]
    missing = []
    for job in jobs:
        if (tally := known.get(job.name)) is None:
            missing.append(job)
        else:
            tallies[job.row].add(tally)
    with ProcessPoolExecutor(processes, initializer=_quiet) as pool:
        for job, tally in zip(missing, pool.map(_some, missing), strict=True):
            tallies[job.row].add(tally)
            if finished is not None:
                with finished.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"job": job.name, "tally": asdict(tally)}) + "\n")
    return tallies


def _read(finished: Path | None) -> dict[str, Tally]:
    """The tallies in the file, by the names of their jobs. A line that a killed command did not complete is removed."""
    if finished is None or not finished.exists():
        return {}
    lines = finished.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    finished.write_text("".join(whole), encoding="utf-8")
    return {row["job"]: Tally(**row["tally"]) for row in map(json.loads, whole)}


def _quiet() -> None:
    """In each process: no log lines, and no garbage collection of what lives as long as the process."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    os.nice(5)
    gc.freeze()
    gc.set_threshold(100_000)


def _some(job: Job) -> Tally:
    total = Tally()
    for number in range(job.count):
        total.add(campaign(job.setting, job.seed + number))
    return total


def frontier(campaigns: int, seed: int, processes: int) -> list[dict[str, Any]]:
    """What a user can choose, in Gaussian noise, from judge() alone."""
    names: tuple[Acceptance, ...] = ("Standard", "Economy")
    choices = [(name, rate) for name in names for rate in RATES]
    with ProcessPoolExecutor(processes, initializer=_quiet) as pool:
        return list(pool.map(_choice, choices, repeat(campaigns), repeat(seed)))


def _choice(choice: tuple[Acceptance, float], campaigns: int, seed: int) -> dict[str, Any]:
    rules = procedure(*choice)
    found = simulate(rules, GAINS, "normal", campaigns, seed).figures()
    quiet = simulate(rules, NO_OPS, "normal", campaigns, seed).figures()
    keys = ("falseKeepsPer100", "gainsKept", "fakeGain", "extraPerKeep")
    return {
        "acceptance": choice[0],
        "falseKeepRate": choice[1],
        **{key: _short(found[key]) for key in keys},
        "extraPerProposalOfNoOps": _short(quiet["extraPerProposal"]),
        "power": {
            f"{size:g}": _short(simulate(rules, Scenario(0.1, size), "normal", campaigns, seed).figures()["gainsKept"])
            for size in (1.0, 2.0, 3.0, 4.0)
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def judged(rows: list[Row], tallies: list[Tally]) -> list[Goal]:
    """The goals, one row for each family of noise."""
    goals = []
    for row, tally in zip(rows, tallies, strict=True):
        found = tally.figures()
        if row.title.startswith(("A:", "B:")):
            goals += _goals(f"{row.title[0]}, {row.noise}", row.title[0], found)
        elif row.setting.fault is not None:
            kept = found["gainsKept"] or 0.0
            goals.append(Goal(f"{row.title}: share of the gains kept", round(kept, 3), ">= 0.75", kept >= 0.75))
    return goals


def _goals(name: str, scenario: str, found: dict[str, float | None]) -> list[Goal]:
    def at_most(what: str, key: str, limit: float, unit: str = "") -> Goal:
        value = found[key]
        met = value is not None and value <= limit
        return Goal(f"{name}: {what}", round(value or 0.0, 3), f"<= {limit:g}{unit}", met)

    false = at_most("false keeps per 100 no-ops, upper 95 % bound", "falseKeepsUpper95", 1.0)
    if scenario == "B":
        return [false, at_most("extra runs a proposal, baseline included", "extraPerProposal", 0.6)]
    kept, fake = found["gainsKept"] or 0.0, found["fakeGain"] or 0.0
    return [
        false,
        Goal(f"{name}: share of the gains kept", round(kept, 3), ">= 0.75", kept >= 0.75),
        Goal(f"{name}: fake gain of the reported best, in SD", round(fake, 3), "< 0.5", fake < 0.5),
        at_most("extra runs a keep", "extraPerKeep", 11.0),
    ]


def _power(rows: list[Row], tallies: list[Tally]) -> dict[str, float | None]:
    """Share of the gains kept in Gaussian noise, by their size in SDs; 2 is scenario A."""
    found = {
        f"{row.setting.scenario.gain:g}": _short(tally.figures()["gainsKept"])
        for row, tally in zip(rows, tallies, strict=True)
        if row.title.startswith(("A:", "power")) and row.noise == "gaussian"
    }
    return dict(sorted(found.items()))


def report(campaigns: int, model_campaigns: int, seed: int, processes: int, finished: Path | None) -> Report:
    """Run everything."""
    began = time.monotonic()
    rows = plan(campaigns)
    tallies = run(rows, seed, processes, finished)
    shell_seconds = time.monotonic() - began
    table = [
        {
            "scenario": row.title,
            "noise": row.noise,
            "campaigns": row.campaigns,
            "noOps": tally.no_ops,
            "gains": tally.gains,
            **{key: _short(value) for key, value in tally.figures().items()},
        }
        for row, tally in zip(rows, tallies, strict=True)
    ]
    figures = {
        "proposalsPerCampaign": GAINS.proposals,
        "shell": table,
        "power": _power(rows, tallies),
        "frontier": frontier(model_campaigns, seed, processes),
        "frontierFrom": f"judge() alone (acceptance_model), {model_campaigns} campaigns, Gaussian noise",
        "seconds": {"shell": round(shell_seconds, 1), "all": round(time.monotonic() - began, 1)},
    }
    return Report("aa", figures, judged(rows, tallies))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="False keeps, power and cost of the whole loop.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    parser.add_argument("--campaigns", type=int, default=200, help="campaigns of 100 proposals for each row")
    parser.add_argument("--model-campaigns", type=int, default=100, help="the same for each row of the frontier")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--finished", type=Path, metavar="FILE", help="append finished campaigns to FILE, and do not run them again"
    )
    chosen = parser.parse_args()
    found = report(chosen.campaigns, chosen.model_campaigns, chosen.seed, chosen.processes, chosen.finished)
    emit(found, as_json=chosen.json, check=chosen.check)


if __name__ == "__main__":
    main()
