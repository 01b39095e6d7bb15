"""The report: once the outcome is drawn a session says what was found, another checks it, and the campaign is Complete.

Called after all other decisions. Statements are findings, so none in a report is without evidence, and what a checker
refuted says so (docs/adr/0010). Everything else in it is a function of the records (`rloop report`).
"""

from __future__ import annotations

from collections import Counter

from rloop import standing
from rloop.api.iteration import SESSION_OVER, ResearchIteration, Role
from rloop.api.loop_status import Ending
from rloop.decide import budget, findings, iteration, provider
from rloop.decide.draft import Draft

SPENT_BY_SESSIONS = frozenset({"tokens", "cost", "activeSeconds"})
"""Limits that the report would pass; campaigns that end by others have their report."""


def write(draft: Draft) -> None:
    """Open the report's sessions one after the other, and complete the campaign when none is left to open."""
    ending = draft.status.ending
    if ending is None or draft.finished or not draft.sealed:
        return
    if not _wanted(draft) or _overdue(draft, ending):
        _complete(draft, ending)
        return
    # What the end closes must be closed first, and a session that is at work has its turn.
    if draft.loop.status.ending is None or draft.at_work:
        return
    spent = SPENT_BY_SESSIONS & {*budget.exhausted(draft, sessions=1)}
    if spent and "activeSeconds" not in spent and budget.may_come_back(draft):
        return
    role = None if spent else _next(draft)
    if role is None:
        _complete(draft, ending)
    elif not draft.holding:
        iteration.open_with(draft, [role])


def _wanted(draft: Draft) -> bool:
    """Whether there is somebody to write it, and something to write about; what was begun is not given up."""
    measured = any(run.value is not None for one in draft.candidates() for run in one.status.runs)
    return bool(_last(draft)) or (findings.can_check(draft) and measured)


def _last(draft: Draft) -> list[ResearchIteration]:
    """The iterations that write and check it; those of an earlier end, which a larger budget took back, are settled."""
    return [one for one in draft.iterations.values() if standing.closing(one) and one.status.phase == "Open"]


def _overdue(draft: Draft, ending: Ending) -> bool:
    """Whether it has taken longer than both of its sessions may: no quota, queue or loop of crashes keeps a result."""
    most = 2 * (draft.spec.experiment.pending_deadline_seconds + draft.spec.agent.session_seconds)
    return budget.active_for(draft, ending.active_seconds + most)


def _next(draft: Draft) -> Role | None:
    """Who has not had its turn. A session that a suspension ended has another; nobody waits for a provider here."""
    if not findings.can_check(draft):
        return None
    had: set[Role] = set()
    for one in _last(draft):
        for spec, session in zip(one.spec.sessions, one.status.sessions, strict=False):
            if provider.waited(session):
                return None
            if session.phase in SESSION_OVER and session.reason != findings.HELD:
                had.add(spec.role)
    if "Report" not in had:
        return "Report"
    return "Check" if "Check" not in had and findings.to_check(draft) else None


def _complete(draft: Draft, ending: Ending) -> None:
    # Of the spec that it ended under: an edit made meanwhile is later than the end.
    draft.condition("Complete", "True", ending.reason, ending.message, generation=ending.generation)
    draft.write(ending=None)
    if _last(draft):
        draft.tell("Reported", _statements(draft))


def _statements(draft: Draft) -> str:
    found = [one for it in draft.iterations.values() for one in it.status.reported.findings]
    checked = Counter((one.checked or "Unchecked").lower() for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(checked.items()))
    return f"statements of the campaign: {told or 'none'}"
