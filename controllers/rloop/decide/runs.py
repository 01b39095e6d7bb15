"""What the runs of an experiment say: small questions that several decisions ask.

Used by attempt, verification, baseline, judge, conclusion, schedule and context. No decisions here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rloop.api.experiment import MAX_RUNS, Attempt, ResearchExperiment, Run, RunKind, Verification
from rloop.decide import again

LIVE = frozenset({"Running", "Verifying"})
OPEN = frozenset({"Queued", "Running", "Verifying"})
NOTES = ("[rloop] progress.jsonl:", "[rloop] claims.json")
"""Notes that the local shell adds below the log about these two files: the program did not print them."""
FINAL_RUNS_MIN = 3
"""Places that failed reference runs never take from the final ones."""
POST_SCREEN: tuple[RunKind, ...] = ("confirm", "audit")
REFERENCE: tuple[RunKind, ...] = ("baseline", "confirm", "audit", "reference")
"""Kinds whose values an incumbent is compared by: never the run that selected it."""


def values(experiment: ResearchExperiment, kinds: Iterable[RunKind]) -> tuple[float, ...]:
    """Verified values of the finished runs of these kinds, in order of their number."""
    wanted = frozenset(kinds)
    return tuple(
        run.value
        for run in experiment.status.runs
        if run.kind in wanted and run.phase == "Done" and run.value is not None
    )


def incumbent_values(experiment: ResearchExperiment) -> tuple[float, ...]:
    """The values that challengers are compared with.

    Runs after the screen; the screening run itself only where there is nothing else (Provisional acceptance).
    """
    return values(experiment, REFERENCE) or values(experiment, ("screen",))


def of_kind(experiment: ResearchExperiment, kind: RunKind) -> list[Run]:
    """The runs of one kind, whatever their phase."""
    return [run for run in experiment.status.runs if run.kind == kind]


def any_open(experiment: ResearchExperiment, kinds: Iterable[RunKind] | None = None) -> bool:
    """Whether a run (of these kinds) is queued or live."""
    wanted = None if kinds is None else frozenset(kinds)
    return any(run.phase in OPEN and (wanted is None or run.kind in wanted) for run in experiment.status.runs)


def add(experiment: ResearchExperiment, kind: RunKind, count: int, seed: Callable[[str, int], int]) -> list[Run]:
    """The experiment's runs with up to `count` queued ones added; each with a fresh seed.

    `seed` is `Draft.run_seed`. Bounded by MAX_RUNS: what does not fit is not added.
    """
    runs = list(experiment.status.runs)
    for _ in range(min(count, MAX_RUNS - len(runs))):
        number = len(runs) + 1
        runs.append(Run(number=number, seed=seed(experiment.metadata.name, number), kind=kind))
    return runs


def room_for_references(incumbent: ResearchExperiment) -> int:
    """Reference runs that still fit; some places stay free, so that an incumbent can always conclude."""
    return MAX_RUNS - FINAL_RUNS_MIN - len(incumbent.status.runs)


def counted_failures(attempts: Iterable[Attempt]) -> int:
    """Failed attempts that count against backoffLimit."""
    return sum(one.phase == "Failed" and not one.infrastructure for one in attempts)


def how_it_ended(attempt: Attempt) -> str:
    """Its reason, and its exit code and the newest step if it has them."""
    code = f", exit code {attempt.exit_code}" if attempt.exit_code is not None else ""
    return f"{attempt.reason}{code}" + (f", at step {attempt.step}" if attempt.step is not None else "")


def last_words(attempt: Attempt) -> str:
    """The last line of its log, as the end of a sentence; empty where it said nothing."""
    line = again.last_line(attempt.log_tail, but=NOTES)
    return f"; its last words: {line.strip()[-300:]}" if line else ""


def started(experiment: ResearchExperiment) -> bool:
    """Whether any run ever had an attempt."""
    return any(run.attempts for run in experiment.status.runs)


def failed_checks(scoring: Verification) -> str:
    """`check "schema" failed: 3 columns; check "range" failed`; empty where all passed."""
    return "; ".join(
        f'check "{check.name}" failed' + (f": {check.detail}" if check.detail.strip() else "")
        for check in scoring.checks
        if not check.passed
    )
