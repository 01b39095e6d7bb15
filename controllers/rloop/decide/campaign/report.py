"""The report: once the outcome is decided, one session states what was found, another checks it; then Complete.

Called after all other decisions. Statements are findings, so each statement of a report has evidence, and one that a
checker refuted is marked as such (docs/adr/0010). The rest of the report is a function of the records (`rloop report`).
"""

from __future__ import annotations

from collections import Counter

from rloop import campaign_state
from rloop.api.iteration import SESSION_OVER, ResearchIteration, Role
from rloop.api.loop_status import Ending
from rloop.decide import opening
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts, finding_checks, provider_waits

SPENT_BY_SESSIONS = frozenset({"tokens", "cost", "activeSeconds"})
"""Limits that the report would exceed. Campaigns that end because of other limits get their report."""


def write(draft: Draft) -> None:
    """Open the report's sessions one after the other, and complete the campaign when none is left to open."""
    ending = draft.status.ending
    if ending is None or draft.finished or not draft.sealed:
        return
    if not _wanted(draft) or _overdue(draft, ending):
        _complete(draft, ending)
        return
    # First what the end closes must be closed, and sessions in progress must end.
    if draft.loop.status.ending is None or draft.at_work:
        return
    spent = SPENT_BY_SESSIONS & {*accounts.exhausted(draft, sessions=1)}
    if spent and "activeSeconds" not in spent and accounts.may_come_back(draft):
        return
    role = None if spent else _next(draft)
    if role is None:
        _complete(draft, ending)
    elif not draft.holding:
        opening.open_with(draft, [role])


def _wanted(draft: Draft) -> bool:
    """Whether an agent can write a report and something was measured; True also for a report that was begun."""
    measured = any(run.value is not None for one in draft.candidates() for run in one.status.runs)
    return bool(_last(draft)) or (finding_checks.can_check(draft) and measured)


def _last(draft: Draft) -> list[ResearchIteration]:
    """The open iterations that write and check the report.

    Those of an earlier end, which a larger budget revoked, are settled.
    """
    return [one for one in draft.iterations.values() if campaign_state.closing(one) and one.status.phase == "Open"]


def _overdue(draft: Draft, ending: Ending) -> bool:
    """Whether the report takes longer than its two sessions may.

    So no quota, queue or crash loop can withhold the result.
    """
    most = 2 * (draft.spec.experiment.pending_deadline_seconds + draft.spec.agent.session_seconds)
    return accounts.active_for(draft, ending.active_seconds + most)


def _next(draft: Draft) -> Role | None:
    """Role of the next session; None if there is no further one.

    A session that a suspension ended is repeated. One that waited for its provider is not: the report does not wait for
    it.
    """
    if not finding_checks.can_check(draft):
        return None
    had: set[Role] = set()
    for one in _last(draft):
        for spec, session in zip(one.spec.sessions, one.status.sessions, strict=False):
            if provider_waits.waited(session):
                return None
            if session.phase in SESSION_OVER and session.reason != finding_checks.HELD:
                had.add(spec.role)
    if "Report" not in had:
        return "Report"
    return "Check" if "Check" not in had and finding_checks.to_check(draft) else None


def _complete(draft: Draft, ending: Ending) -> None:
    # The generation of the spec under which it ended: an edit made meanwhile is later than the end.
    draft.condition("Complete", "True", ending.reason, ending.message, generation=ending.generation)
    draft.write(ending=None)
    if _last(draft):
        draft.tell("Reported", _statements(draft))


def _statements(draft: Draft) -> str:
    found = [one for it in draft.iterations.values() for one in it.status.reported.findings]
    checked = Counter((one.checked or "Unchecked").lower() for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(checked.items()))
    return f"findings of the campaign: {told or 'none'}"
