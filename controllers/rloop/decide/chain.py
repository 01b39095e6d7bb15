"""The order of all decisions: one list that reads like a specification.

Called by `rloop_operator.reconcile` with the facts; every step looks at the draft that the steps before it left. What a
step wants done needs no memory: the next pass sees the world and asks again.
"""

from __future__ import annotations

from collections.abc import Callable

from rloop.decide import (
    accept,
    attempt,
    baseline,
    budget,
    cleanup,
    conclusion,
    conditions,
    display,
    exhaustion,
    iteration,
    judge,
    ledger,
    look_again,
    patrol,
    plateau,
    reopen,
    report,
    schedule,
    session,
    smoke,
    verification,
)
from rloop.decide.draft import Decision, Draft
from rloop.observed import Observed

Step = Callable[[Draft], None]

ALWAYS: tuple[Step, ...] = (
    accept.seal,  # is the spec usable, and is the task frozen?
    reopen.reopen,  # was the budget raised after the campaign had used it up?
    budget.turn_clock,  # before anything asks for the time
    attempt.record,  # what became of the attempts at runs
    verification.record,  # what became of the scorings of their artifacts
    session.record,  # what became of the sessions
)
WHILE_RUNNING: tuple[Step, ...] = (
    baseline.measure,  # the untouched task: value and noise
    smoke.look,  # short runs that only show whether something starts
    judge.judge,  # keep, reject, or ask for more runs
    plateau.pivot,  # no gain for long enough: change the frame (before settling: a pivot makes open iterations neutral)
    plateau.withdraw,  # what the pivot ended
    iteration.settle,  # iterations whose work is done
    plateau.count,  # staleCount, from the settled iterations
    patrol.patrol,  # who is silent or stuck
    conclusion.conclude,  # is the target met, by fresh runs?
    budget.account,  # what was spent and reserved; is anything left?
    schedule.schedule,  # which queued runs start now
    budget.end,  # nothing runs and nothing can: is that the end?
    exhaustion.end,  # every point of a finite space was tried
    iteration.open_next,  # does the agent's next session start?
)
WHILE_REPORTING: tuple[Step, ...] = (patrol.patrol,)
LAST: tuple[Step, ...] = (
    report.write,  # when the outcome is drawn: the last sessions, then Complete
    cleanup.clean,  # workloads that no record wants
    ledger.append,  # what is final goes into the ledger, once
    budget.account,  # with what this very decision reserved
    conditions.fold,  # the story, in as few conditions as tell it
    display.show,  # and in one line of kubectl get
    look_again.plan,  # when to look again although no event arrives
)


def hindered(observed: Observed) -> Decision:
    """What to write when the ledger could not be: only the story, or what it lacks would pass for written. Pure."""
    draft = Draft(observed)
    conditions.fold(draft)
    display.show(draft)
    look_again.plan(draft)
    return draft.decision()


def decide(observed: Observed) -> Decision:
    """Decide what is to be done in the observed world. Pure: the same facts give the same decision."""
    draft = Draft(observed)
    for step in ALWAYS:
        step(draft)
    ended = draft.ended
    for step in WHILE_REPORTING if ended else WHILE_RUNNING:
        if draft.finished or draft.ended != ended or not draft.sealed:
            break
        step(draft)
    for step in LAST:
        step(draft)
    return draft.decision()
