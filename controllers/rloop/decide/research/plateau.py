"""Plateau and pivot: without a verified gain for long enough, the frame must change, not the parameters.

Rules (design section 4.8). `generation` = keeps + pivots, stamped on an iteration when it opens. A keep sets staleCount
to 0 at once. A settled iteration without a keep or a verified finding adds 1 if its generation is still the current
one, else it is neutral. staleCount is derived from the settled iterations, so no crash can count one twice.

A space.yaml without structural dimensions has one frame, and a pivot would lead from it to itself. There no pivot is
forced: the policies search the whole space at any time, and restart or widen by themselves (docs/adr/0029).
"""

from __future__ import annotations

from itertools import takewhile

from rloop import names
from rloop.actions import Append
from rloop.decide.draft import Draft
from rloop.decide.ending import end_sessions, withdraw_experiment
from rloop.decide.queries import failed_sessions, provider_waits, runs

VOID_LIMIT = 3
"""Consecutive Void iterations, which say nothing about their directions, that set NeedsAttention."""


def stale_count(draft: Draft) -> int:
    """Number of stale iterations since the newest keep."""
    keeps = draft.keeps
    return sum(
        one.status.outcome == "Stale" and one.status.keeps_at_settlement == keeps for one in draft.iterations.values()
    )


def _stale(number: int) -> str:
    return f"{number} stale iteration" + ("s" if number != 1 else "")


def count(draft: Draft) -> None:
    """Write the derived counters, and set NeedsAttention if a person should look."""
    stale = stale_count(draft)
    draft.write(stale_count=stale, generation=draft.generation)
    if stale >= draft.spec.stall.attention_after:
        told = f"{_stale(stale)} since the last keep: consider editing spec.direction or spec.boundaries"
        if not draft.is_true("NeedsAttention"):
            draft.tell("NeedsAttention", told, warning=True)
        draft.condition("NeedsAttention", "True", "Plateau", told)
        return
    ended = (one for one in draft.iterations.values() if one.status.outcome and not provider_waits.lost(one))
    newest_first = sorted(ended, key=lambda one: one.spec.number, reverse=True)
    void = sum(1 for _ in takewhile(lambda one: one.status.outcome == "Void", newest_first))
    if void >= VOID_LIMIT:
        reason, message = "InfrastructureFailing", "infrastructure failures: see the logs of the sessions"
        if (failed := failed_sessions.given_up(draft)) is not None:
            reason, message = failed_sessions.trouble(failed)
        told = f"the last {void} iterations produced no result"
        if not draft.is_true("NeedsAttention"):
            # The cause was reported when the first of them failed.
            draft.tell("NeedsAttention", f"{told}: {message if failed is None else reason}", warning=True)
        draft.condition("NeedsAttention", "True", reason, f"{told}; the newest: {message}")
        return
    draft.condition("NeedsAttention", "False", "None")


def pivot(draft: Draft) -> None:
    """Demand a change of frame on a plateau, or on request of the director. One status write raises the generation."""
    requested = draft.loop.metadata.annotations.get(names.ANNOTATION_PIVOT, "")
    asked = bool(requested) and requested != draft.status.last_handled.pivot
    if draft.status.baseline is None or draft.status.phase == "Concluding":
        return
    if not asked and not due(draft):
        return
    if one_frame(draft):
        draft.write(last_handled=draft.status.last_handled.changed(pivot=requested))
        remedy = "mark a dimension there as structural, and start a new campaign"
        draft.tell("PivotImpossible", f"space.yaml has only one frame: {remedy}", warning=True)
        return
    number = draft.status.pivots + 1
    why = "requested by the user" if asked else _stale(stale_count(draft))
    draft.write(pivots=number, last_handled=draft.status.last_handled.changed(pivot=requested))
    draft.write(generation=draft.generation)
    draft.tell("PivotForced", f"pivot {number}: {why}; the next direction must change the frame", warning=not asked)
    draft.act(Append(f"pivot/{number}", "pivot", {"number": number, "why": why}))


def due(draft: Draft) -> bool:
    """Whether enough iterations are stale, one of them in the present generation.

    The second condition lets a pivot be answered before the next one is demanded.
    """
    if one_frame(draft) or draft.pivot_demanded or stale_count(draft) < draft.spec.stall.pivot_after:
        return False
    generation = draft.generation
    return any(one.status.outcome == "Stale" and one.spec.generation == generation for one in draft.iterations.values())


def one_frame(draft: Draft) -> bool:
    """Whether the task has a search space without structural dimensions."""
    return draft.status.sealed is not None and draft.status.sealed.one_frame


def withdraw(draft: Draft) -> None:
    """End what a pivot makes pointless: sessions and unstarted screens of iterations that opened before it.

    Runs in progress finish and may still be kept.
    """
    for name, iteration in list(draft.iterations.items()):
        if iteration.status.phase == "Settled" or iteration.spec.pivots >= draft.status.pivots:
            continue
        end_sessions(draft, name, "PivotDemanded")
    for one in draft.open_candidates():
        opened = _pivots_at_opening(draft, one.spec.iteration)
        if opened < draft.status.pivots and not runs.started(one):
            withdraw_experiment(
                draft, one.metadata.name, "PivotDemanded", "withdrawn before its first run: the frame must change"
            )


def _pivots_at_opening(draft: Draft, number: int) -> int:
    return next((one.spec.pivots for one in draft.iterations.values() if one.spec.number == number), 0)
