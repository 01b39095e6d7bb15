"""Queries about the runs of an experiment, shared by several decisions.

Used by most decisions and by context. Takes no decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rloop.api.experiment import MAX_RUNS, OPEN_RUN, Attempt, ResearchExperiment, Run, RunKind, Verification
from rloop.decide.queries import certain_failure

NOTES = ("[rloop] progress.jsonl:", "[rloop] claims.json")
"""Notes that the local shell appends to the log about these two files. The program did not print them."""
FINAL_RUNS_MIN = 3
"""Places among MAX_RUNS kept free for final runs: reference runs, even failed ones, never take them."""
POST_SCREEN: tuple[RunKind, ...] = ("confirm", "audit")
REFERENCE: tuple[RunKind, ...] = ("baseline", "confirm", "audit", "reference")
"""Kinds of runs by which an incumbent is compared: never the run that selected it."""


def values(experiment: ResearchExperiment, kinds: Iterable[RunKind]) -> tuple[float, ...]:
    """Verified values of the finished runs of these kinds, in order of their number."""
    return tuple(value for _, value in _finished(experiment, kinds))


def _finished(experiment: ResearchExperiment, kinds: Iterable[RunKind]) -> tuple[tuple[int, float], ...]:
    """Number and value of each of them."""
    wanted = frozenset(kinds)
    return tuple(
        (run.number, run.value)
        for run in experiment.status.runs
        if run.kind in wanted and run.phase == "Done" and run.value is not None
    )


def incumbent_runs(experiment: ResearchExperiment) -> dict[int, float]:
    """Number and value of each run that challengers are compared with.

    Runs after the screen; the screening run only if there are no others (Provisional acceptance).
    """
    return dict(_finished(experiment, REFERENCE) or _finished(experiment, ("screen",)))


def incumbent_values(experiment: ResearchExperiment) -> tuple[float, ...]:
    """The values that challengers are compared with."""
    return tuple(incumbent_runs(experiment).values())


def scored(run: Run, metric: str) -> float | None:
    """The value of a run: the mean of its repeats. None without a scoring."""
    found = [one.metrics[metric] for one in run.verifications if one.phase == "Succeeded" and metric in one.metrics]
    return sum(found) / len(found) if found else None


def of_kind(experiment: ResearchExperiment, kind: RunKind) -> list[Run]:
    """The runs of one kind, in any phase."""
    return [run for run in experiment.status.runs if run.kind == kind]


def any_open(experiment: ResearchExperiment, kinds: Iterable[RunKind] | None = None) -> bool:
    """Whether a run (of these kinds) is queued or live."""
    wanted = None if kinds is None else frozenset(kinds)
    return any(run.phase in OPEN_RUN and (wanted is None or run.kind in wanted) for run in experiment.status.runs)


def add(experiment: ResearchExperiment, kind: RunKind, count: int, seed: Callable[[str, int], int]) -> list[Run]:
    """The experiment's runs plus up to `count` queued ones, each with a fresh seed.

    `seed` is `Draft.run_seed`. Bounded by MAX_RUNS: what does not fit is not added.
    """
    runs = list(experiment.status.runs)
    for _ in range(min(count, MAX_RUNS - len(runs))):
        number = len(runs) + 1
        runs.append(Run(number=number, seed=seed(experiment.metadata.name, number), kind=kind))
    return runs


def withdrawn(experiment: ResearchExperiment, reason: str) -> list[Run]:
    """The experiment's runs, in which those that are queued or live are withdrawn for this reason."""
    return [
        run.changed(phase="Withdrawn", reason=reason) if run.phase in OPEN_RUN else run
        for run in experiment.status.runs
    ]


def room_for_references(incumbent: ResearchExperiment) -> int:
    """Number of reference runs that still fit. Some places stay free, so that an incumbent can always conclude."""
    return MAX_RUNS - FINAL_RUNS_MIN - len(incumbent.status.runs)


def counted_failures(attempts: Iterable[Attempt]) -> int:
    """Number of failed attempts that count towards backoffLimit."""
    return sum(one.phase == "Failed" and not one.infrastructure for one in attempts)


def how_it_ended(attempt: Attempt) -> str:
    """Reason of its end, with exit code and latest step if set."""
    code = f", exit code {attempt.exit_code}" if attempt.exit_code is not None else ""
    return f"{attempt.reason}{code}" + (f", at step {attempt.step}" if attempt.step is not None else "")


def last_words(attempt: Attempt) -> str:
    """The last line of its log, as the end of a sentence; empty if it printed nothing."""
    line = certain_failure.last_line(attempt.log_tail, but=NOTES)
    return f"; last output: {line.strip()[-300:]}" if line else ""


def started(experiment: ResearchExperiment) -> bool:
    """Whether any run ever had an attempt."""
    return any(run.attempts for run in experiment.status.runs)


def failed_checks(scoring: Verification) -> str:
    """`check "schema" failed: 3 columns; check "range" failed`; empty if all passed."""
    return "; ".join(
        f'check "{check.name}" failed' + (f": {check.detail}" if check.detail.strip() else "")
        for check in scoring.checks
        if not check.passed
    )
