"""Which findings wait for their check: a claim counts once a fresh session has compared it with the facts.

Used by iteration when it settles one and opens the next, and by the report. Only our agent with a language model can
check; with any other agent findings are recorded but do not count (docs/adr/0003, 0008).
"""

from __future__ import annotations

from rloop.api.iteration import SESSION_OVER, Finding, ResearchIteration, SessionStatus
from rloop.campaign_state import NO_EXPLORERS
from rloop.decide.draft import Draft

HELD = "Held"
"""Reason of a session that had to end because of a suspension or an operator shutdown. It implies no result."""
LOOP_FINISHED = "LoopFinished"
"""Reason of a session that was in progress when the campaign ended."""
CUT_SHORT = frozenset({HELD, "PivotDemanded", LOOP_FINISHED})
"""Reasons of a checker that was cut short. Another one is started."""


def explorers(iteration: ResearchIteration) -> list[SessionStatus]:
    """The sessions that propose. How a checker ends does not affect the outcome of an iteration."""
    others = {one.name for one in iteration.spec.sessions if one.role in NO_EXPLORERS}
    return [one for one in iteration.status.sessions if one.name not in others]


def can_check(draft: Draft) -> bool:
    """Whether the campaign's agent is ours, with a language model: no other has the roles of checker and writer."""
    agent = draft.spec.agent
    return agent.llm is not None and agent.image is None


def unchecked(draft: Draft, iteration: ResearchIteration) -> list[Finding]:
    """Findings of a stored iteration that can still be checked.

    Stored facts only, because a verdict may arrive until the end of the checker is stored.
    """
    waiting = [one for one in iteration.status.reported.findings if one.checked is None]
    if not waiting or not can_check(draft) or _had_its_chance(draft, iteration):
        return []
    return waiting


def to_check(draft: Draft) -> bool:
    """Whether the next iteration needs a checker."""
    return any(unchecked(draft, one) for one in draft.observed.iterations.values() if one.status.phase == "Open")


def _had_its_chance(draft: Draft, iteration: ResearchIteration) -> bool:
    """Whether a checker of a later iteration has ended regularly. What it left unchecked is not checked again."""
    for one in draft.observed.iterations.values():
        if one.spec.number <= iteration.spec.number:
            continue
        unheard = {each.session for each in one.status.reported.usage if each.refused_call and not each.calls}
        checkers = {each.name for each in one.spec.sessions if each.role == "Check"} - unheard
        for session in one.status.sessions:
            over = session.phase in SESSION_OVER and not session.infrastructure
            if session.name in checkers and over and session.reason not in CUT_SHORT:
                return True
    return False
