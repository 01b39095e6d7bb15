"""The order of all decisions, as one list that reads like a specification.

Called by `rloop_operator.reconcile` with the facts. Each step sees the draft as the previous steps left it. Steps
remember no requests: the next pass observes the world and requests again what is still missing.
"""

from __future__ import annotations

from collections.abc import Callable

from rloop.decide.campaign import budget, conditions, display, ledger, next_pass, reopen, report, seal
from rloop.decide.draft import Decision, Draft
from rloop.decide.research import baseline, conclusion, exhaustion, iteration, judge, plateau
from rloop.decide.work import attempt, cleanup, liveness, schedule, session, smoke, verification
from rloop.observed import Observed

Step = Callable[[Draft], None]

ALWAYS: tuple[Step, ...] = (
    seal.seal,  # is the spec usable, and is the task frozen?
    reopen.reopen,  # was the budget raised after the campaign had used it up?
    budget.turn_clock,  # before anything uses the active time
    attempt.record,  # outcome of attempts at runs
    verification.record,  # outcome of scorings of their artifacts
    session.record,  # outcome of sessions
)
WHILE_RUNNING: tuple[Step, ...] = (
    baseline.measure,  # the unchanged task: value and noise
    smoke.look,  # short runs that only show whether an experiment starts
    judge.judge,  # keep, reject, or request more runs
    plateau.pivot,  # no gain for long enough: change the frame (before settling: a pivot makes open iterations neutral)
    plateau.withdraw,  # work that the pivot made pointless
    iteration.settle,  # iterations whose work is done
    plateau.count,  # staleCount, from the settled iterations
    liveness.check,  # sessions that are silent or stuck
    conclusion.conclude,  # do fresh runs confirm the target?
    budget.account,  # what is used and reserved
    schedule.schedule,  # which queued runs start now
    budget.end,  # is the budget used up, and nothing left to run?
    exhaustion.end,  # was every point of a finite space tried?
    iteration.open_next,  # does the next iteration start?
)
WHILE_REPORTING: tuple[Step, ...] = (liveness.check,)
LAST: tuple[Step, ...] = (
    report.write,  # once the outcome is decided: the last sessions, then Complete
    cleanup.clean,  # workloads that no record wants
    ledger.append,  # final results, appended to the ledger once
    budget.account,  # again, including what this decision reserved
    conditions.fold,  # conditions, phase and counts
    display.show,  # columns of kubectl get
    next_pass.plan,  # time of the next pass if no event arrives
)


def hindered(observed: Observed) -> Decision:
    """What to write if the ledger could not be written: conditions and display only. Pure.

    Any other write would mark entries as appended that the ledger does not have.
    """
    draft = Draft(observed)
    conditions.fold(draft)
    display.show(draft)
    next_pass.plan(draft)
    return draft.decision()


def decide(observed: Observed) -> Decision:
    """Decide what to do in the observed world. Pure: the same facts give the same decision."""
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
