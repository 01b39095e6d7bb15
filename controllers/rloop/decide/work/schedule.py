"""Starts queued runs: those that confirm come before those that explore.

A run starts with one write: its reservation and the intent of its next attempt. The workload follows in the next pass.
"""

from __future__ import annotations

from rloop.api.experiment import LIVE_RUN, OPEN_RUN, Attempt, ResearchExperiment, Run, RunKind
from rloop.decide.draft import Draft
from rloop.decide.queries.accounts import affordable, reservation

ORDER: dict[RunKind, int] = {
    "baseline": 0,
    "final": 0,
    "smoke": 1,  # an agent waits for it
    "confirm": 2,
    "audit": 2,
    "reference": 2,
    "screen": 3,
}


def schedule(draft: Draft) -> None:
    """Fill the free slots, as far as the budget allows. A run occupies its slot until its artifact is scored."""
    if draft.holding:
        return
    free = draft.spec.parallelism - sum(run.phase in LIVE_RUN for _, run in draft.moving_runs())
    for experiment, run in _queue(draft):
        reserved = reservation(draft, run.kind)
        if free <= 0 or not affordable(draft, reserved):
            return
        number = run.attempts[-1].number + 1 if run.attempts else 1  # it may have had attempts before its budget ended
        attempts = [*run.attempts, Attempt(number=number)]
        name = experiment.metadata.name
        draft.write_run(name, run.changed(phase="Running", reservation=reserved, attempts=attempts))
        if experiment.status.phase == "Queued":
            draft.write_experiment(name, phase="Running")
        free -= 1


def _queue(draft: Draft) -> list[tuple[ResearchExperiment, Run]]:
    """Queued runs in the order of their start. While the incumbent concludes, nothing else starts."""
    queued = [(experiment, run) for experiment, run in draft.moving_runs() if run.phase == "Queued"]
    if any(run.kind == "final" and run.phase in OPEN_RUN for _, run in draft.moving_runs()):
        queued = [(experiment, run) for experiment, run in queued if run.kind == "final"]
    return sorted(
        queued,
        key=lambda pair: (
            ORDER[pair[1].kind],
            pair[0].spec.iteration,
            pair[0].spec.session or "",
            pair[0].spec.sequence,
            pair[1].number,
        ),
    )
