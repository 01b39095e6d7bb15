"""The figures of one experiment: its value, its later value, its claims and its gain, each with its number of runs.

Used by the decisions in their messages, by the protocol's files and by the command line, so that a figure is the same
in a line, a table, a report and an object. docs/acceptance.md explains the words. It loads no statistics: what a
verdict was decided on is stored in it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import isclose
from statistics import fmean

from rloop import campaign_state
from rloop.api.experiment import ResearchExperiment, Run, Verdict

MEASURED = frozenset({"baseline", "screen", "confirm", "audit"})
"""Kinds of the runs that a verdict may rest on."""
SELECTED_BY = frozenset({"screen"})
"""The run that selects a candidate, which is no part of the value of a kept one."""
LATER = frozenset({"baseline", "confirm", "audit", "reference"})
"""Kinds of the runs behind a later value: those by which challengers are compared with an incumbent."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean of runs."""

    value: float
    low: float | None
    high: float | None
    """Bounds of the 95 % confidence interval; None if it is not stored."""
    runs: int


def value(experiment: ResearchExperiment) -> Figure | None:
    """The value: the one on which the experiment was judged. Before it is judged, the mean of its runs so far.

    None if no run has a value. Runs that were added after the verdict never change it; see `later`.
    """
    verdict = experiment.status.verdict
    decided = of_verdict(verdict) if verdict is not None else None
    if decided is not None:
        return decided
    found = [run.value for run in _valued(experiment, MEASURED) if run.value is not None]
    return Figure(fmean(found), None, None, len(found)) if found else None


def of_verdict(verdict: Verdict) -> Figure | None:
    """The value on which the experiment was judged; None if the verdict rests on no value."""
    if verdict.value is None:
        return None
    return Figure(verdict.value, verdict.low, verdict.high, verdict.n)


def later(experiment: ResearchExperiment) -> Figure | None:
    """The later value: the mean of the runs behind the value and of those added since, to compare challengers with it.

    None if no run was added, and for an experiment that was never the incumbent. For the present incumbent it equals
    `status.best` of the loop, which has its interval too.
    """
    own = value(experiment)
    if own is None or not (experiment.spec.kind == "Baseline" or campaign_state.kept_number(experiment)):
        return None
    found = [run.value for run in _valued(experiment, LATER) if run.value is not None]
    return Figure(fmean(found), None, None, len(found)) if len(found) > own.runs else None


def behind(experiment: ResearchExperiment) -> list[Run]:
    """The runs behind `value`."""
    own, made = value(experiment), _valued(experiment, MEASURED)
    after = [run for run in made if run.kind not in SELECTED_BY]
    for group in (made, after, [run for run in made if run.kind in SELECTED_BY]):
        if group and own is not None and len(group) == own.runs:
            mean = fmean(run.value for run in group if run.value is not None)
            if isclose(mean, own.value, rel_tol=1e-9, abs_tol=1e-300):
                return group
    return []


def claimed(experiment: ResearchExperiment) -> float | None:
    """The mean of what the runs behind `value` reported themselves; None if none of them reported the metric."""
    found = [run.claimed for run in behind(experiment) if run.claimed is not None]
    return fmean(found) if found else None


def gain(experiment: ResearchExperiment) -> float | None:
    """The gain over the incumbent of its time; None for the baseline, which all gains refer to."""
    verdict = experiment.status.verdict
    return None if verdict is None or experiment.spec.kind == "Baseline" else verdict.gain


def over(verdict: Verdict) -> str:
    """What the gain of a verdict is over: `over the incumbent demo-b01 (9 runs)`; empty if nothing was compared."""
    if verdict.compared_with is None:
        return ""
    runs = f" ({counted(len(verdict.compared_runs))})" if verdict.compared_runs else ""
    return f"over the incumbent {verdict.compared_with}{runs}"


def counted(runs: int) -> str:
    """`1 run`, `3 runs`."""
    return f"{runs} run" if runs == 1 else f"{runs} runs"


def _valued(experiment: ResearchExperiment, kinds: Collection[str]) -> list[Run]:
    """The finished runs of these kinds with a value, in order."""
    done = (run for run in experiment.status.runs if run.phase == "Done" and run.value is not None)
    return [run for run in done if run.kind in kinds]
