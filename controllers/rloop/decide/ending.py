"""How an experiment, or the whole campaign, comes to its end: writes that several decisions make alike.

Used by baseline, budget, cleanup, conclusion, judge and plateau. No decisions here.
"""

from __future__ import annotations

from rloop.api.experiment import Verdict
from rloop.api.loop_status import Ending
from rloop.decide import runs
from rloop.decide.draft import Draft
from rloop.standing import active_seconds


def withdraw_experiment(draft: Draft, name: str, reason: str, message: str) -> None:
    """Give an experiment up: its queued and live runs end, its verdict says why."""
    experiment = draft.experiments[name]
    ended = [
        run.model_copy(update={"phase": "Withdrawn", "reason": reason}) if run.phase in runs.OPEN else run
        for run in experiment.status.runs
    ]
    verdict = Verdict(reason=reason, message=message, at=draft.now)
    draft.write_experiment(name, runs=ended, phase="Withdrawn", verdict=verdict)


def end_sessions(draft: Draft, iteration: str, reason: str) -> None:
    """Its sessions that are at work are over; their workloads go because no record wants them any more."""
    for session in draft.iterations[iteration].status.sessions:
        if session.phase in ("Pending", "Running"):
            ended = {"phase": "Finished", "reason": reason, "finished_at": draft.now}
            draft.write_session(iteration, session.model_copy(update=ended))


def end(draft: Draft, reason: str, message: str, *, warning: bool = False) -> None:
    """End the campaign with a result, and say how; it is Complete when its report is written (`report`)."""
    now = active_seconds(draft.status.clock, draft.now)
    generation = draft.loop.metadata.generation
    draft.write(ending=Ending(reason=reason, message=message, active_seconds=now, generation=generation))
    draft.tell(reason, message, warning=warning)


def fail(draft: Draft, reason: str, message: str) -> None:
    """End the campaign as Failed: it cannot go on, and a person must act."""
    draft.condition("Failed", "True", reason, message[:4096])
    draft.tell(reason, message, warning=True)
