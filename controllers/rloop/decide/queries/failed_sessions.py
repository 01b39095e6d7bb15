"""Sessions that failed by themselves: whether all explorers did, and how that is reported to a person.

Queries of session, plateau and conditions.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.api.iteration import SESSION_OVER, SessionStatus
from rloop.decide.draft import Draft
from rloop.decide.queries import finding_checks
from rloop.decide.queries.session_outcome import REMEDIES


def trouble(failed: SessionStatus) -> tuple[str, str]:
    """Reason and message of the condition that reports a failed session to a person."""
    reason = failed.reason if failed.reason in REMEDIES else "AgentFailing"
    after = f" after {failed.attempt} processes" if failed.attempt > 1 else ""
    return reason or "AgentFailing", f"{failed.name} failed{after}: {failed.reason}: {failed.message}"


def given_up(draft: Draft) -> SessionStatus | None:
    """A failed explorer, if all explorers of the newest conclusive iteration failed by themselves; otherwise None.

    Iterations are skipped if their explorers were only held, or have neither ended nor reported anything.
    """
    for one in campaign_state.newest_first(draft.iterations):
        explorers = finding_checks.explorers(one)
        if explorers and all(each.phase == "Failed" and not each.infrastructure for each in explorers):
            return explorers[0]
        ended = any(each.phase in SESSION_OVER and each.reason != finding_checks.HELD for each in explorers)
        reported = one.status.reported
        if ended or reported.proposed or reported.directions or reported.findings or reported.finished:
            return None
    return None
