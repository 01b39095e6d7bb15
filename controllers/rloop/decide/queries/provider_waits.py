"""Queries about sessions that wait for their language model provider, from what the LLM proxy recorded.

Used by session, iteration, plateau, liveness, report, conditions and display. Like waiting for resources
(docs/adr/0005) it is not a failure: a session that ends while it waits says nothing about its direction and is opened
again. Only the proxy reports that a session waits, so that no agent can excuse itself.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.api.iteration import CallFailure, ResearchIteration, SessionStatus, SessionUsage
from rloop.decide.draft import Draft

WAITED = "WaitingForLLM"
"""Reason of the condition Progressing while the campaign waits."""
REASONS = frozenset(
    {"ProviderRefused", "ProviderUnknown", "ModelUnknown", "PriceUnknown", "CapTooSmall", "ProviderDown", "HourCap"}
)
"""Reasons for which sessions wait. A session that ends while it waits has failed for this reason."""


def unanswered(iteration: ResearchIteration, session: str) -> SessionUsage | None:
    """The usage record of the session, if its calls get no response; otherwise None."""
    return next((one for one in iteration.status.reported.usage if one.session == session and one.waiting), None)


def failure(iteration: ResearchIteration, session: str) -> CallFailure | None:
    """Why the session's latest model call had no usable response; None if it had one, or no call was made."""
    return next((one.failure for one in iteration.status.reported.usage if one.session == session), None)


def waited(session: SessionStatus) -> bool:
    """Whether the session ended while it waited."""
    return session.infrastructure and session.reason in REASONS


def lost(iteration: ResearchIteration) -> bool:
    """Whether a session of the iteration ended while it waited."""
    return any(waited(one) for one in iteration.status.sessions)


def waiting(draft: Draft) -> SessionUsage | None:
    """The usage record of a session that waits now; None if the campaign does not wait.

    Taken from the newest iteration whose sessions wait, were answered, or ended, so that a pause between iterations
    does not hide the wait.
    """
    if draft.spec.agent.searcher is not None:
        return None
    for iteration in campaign_state.newest_first(draft.iterations):
        waits = [
            unanswered(iteration, one.name)
            for one in iteration.status.sessions
            if one.phase in ("Pending", "Running") or waited(one)
        ]
        found = next((one for one in waits if one is not None), None)
        called = any(one.calls for one in iteration.status.reported.usage)
        if found is not None or called or (iteration.status.outcome is not None and not lost(iteration)):
            return found
    return None
