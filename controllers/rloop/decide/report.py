"""The report: once the outcome is drawn a session says what was found, another checks it, and the campaign is Complete.

Called after all other decisions. Statements are findings, so none in a report is without evidence, and what a checker
refuted says so (docs/adr/0010). Everything else in it is a function of the records (`rloop report`).
"""

from __future__ import annotations

from collections import Counter

from rloop.api.iteration import SESSION_OVER, Role
from rloop.decide import findings, iteration, provider
from rloop.decide.budget import exhausted
from rloop.decide.draft import Draft

SPENT_BY_SESSIONS = frozenset({"tokens", "cost", "activeSeconds"})
"""Limits that the report would pass; campaigns that end by others have their report."""


def write(draft: Draft) -> None:
    """Open the report's sessions one after the other, and complete the campaign when none is left to open."""
    ending = draft.status.ending
    if ending is None or draft.finished:
        return
    stored = draft.loop.status.ending is not None
    role = _next(draft)
    if role is None:
        draft.condition("Complete", "True", ending.reason, ending.message)
        draft.write(ending=None)
        if stored:
            draft.tell("Reported", _statements(draft))
        return
    # What the end closes must be closed first.
    if stored and not draft.at_work and not draft.holding:
        iteration.open_with(draft, [role])


def _next(draft: Draft) -> Role | None:
    """Who has not had its turn. A session that a suspension ended has another; nobody waits for a provider here."""
    measured = any(one.status.verdict is not None for one in draft.candidates())
    if not findings.can_check(draft) or not measured or SPENT_BY_SESSIONS & {*exhausted(draft)}:
        return None
    had: set[Role] = set()
    for one in filter(findings.closing, draft.iterations.values()):
        for spec, session in zip(one.spec.sessions, one.status.sessions, strict=False):
            if session.reason == provider.WAITED:
                return None
            if session.phase in SESSION_OVER and session.reason != findings.HELD:
                had.add(spec.role)
    if "Report" not in had:
        return "Report"
    return "Check" if "Check" not in had and findings.to_check(draft) else None


def _statements(draft: Draft) -> str:
    found = [one for it in draft.iterations.values() for one in it.status.reported.findings]
    checked = Counter((one.checked or "Unchecked").lower() for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(checked.items()))
    return f"statements of the campaign: {told or 'none'}"
