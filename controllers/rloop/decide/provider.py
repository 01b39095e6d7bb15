"""Sessions that wait for their provider of a language model: what the LLM proxy wrote of them, as questions.

Asked by session, iteration, plateau, patrol and conditions. As waiting for a place (docs/adr/0005) it is nobody's
failure: a session that ends while it waits says nothing about its direction and is opened again. Only the proxy says
that one waits, so that no agent can excuse itself.
"""

from __future__ import annotations

from rloop import standing
from rloop.api.iteration import CallFailure, ResearchIteration, SessionStatus, SessionUsage
from rloop.decide.draft import Draft

WAITED = "WaitingForLLM"
"""Reason of the condition Progressing while the campaign waits."""
REASONS = frozenset(
    {"ProviderRefused", "ProviderUnknown", "ModelUnknown", "PriceUnknown", "CapTooSmall", "ProviderDown", "HourCap"}
)
"""Why sessions wait; a session that ends then has failed for this reason."""


def unanswered(iteration: ResearchIteration, session: str) -> SessionUsage | None:
    """What was written of the session, if its calls get no answer."""
    return next((one for one in iteration.status.reported.usage if one.session == session and one.waiting), None)


def failure(iteration: ResearchIteration, session: str) -> CallFailure | None:
    """Why the session's newest model call had no usable answer; None if it had one, or there was none."""
    return next((one.failure for one in iteration.status.reported.usage if one.session == session), None)


def waited(session: SessionStatus) -> bool:
    """Whether the session ended while it waited."""
    return session.infrastructure and session.reason in REASONS


def lost(iteration: ResearchIteration) -> bool:
    """Whether a session of it ended while it waited."""
    return any(waited(one) for one in iteration.status.sessions)


def waiting(draft: Draft) -> SessionUsage | None:
    """What the campaign waits for now: told by the newest session that called, so that a pause does not hide it."""
    if draft.spec.agent.policy is not None:
        return None
    for iteration in standing.newest_first(draft.iterations):
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
