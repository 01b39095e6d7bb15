"""Which findings wait for their check: an agent's word counts once a fresh session has compared it with the facts.

Asked by iteration when it settles one and opens the next. Only our agent with a language model is asked to; without
it findings are recorded, and count for nothing (docs/adr/0003, 0008).
"""

from __future__ import annotations

from rloop.api.iteration import SESSION_OVER, Finding, ResearchIteration, SessionStatus
from rloop.decide.draft import Draft
from rloop.standing import NO_EXPLORERS

HELD = "Held"
"""Reason of a session that had to finish because the loop is suspended or its operator ends: it says nothing."""
LOOP_FINISHED = "LoopFinished"
"""Reason of a session that was at work when the campaign ended."""
CUT_SHORT = frozenset({HELD, "PivotDemanded", LOOP_FINISHED})
"""Reasons of a checker that was not given its time: another one is."""


def explorers(iteration: ResearchIteration) -> list[SessionStatus]:
    """The sessions that propose; a checker's fate is not the iteration's."""
    others = {one.name for one in iteration.spec.sessions if one.role in NO_EXPLORERS}
    return [one for one in iteration.status.sessions if one.name not in others]


def can_check(draft: Draft) -> bool:
    """Whether the campaign's agent is ours, with a language model: no other plays the roles of checker and writer."""
    agent = draft.spec.agent
    return agent.llm is not None and agent.image is None


def unchecked(draft: Draft, iteration: ResearchIteration) -> list[Finding]:
    """Its findings that somebody will still look at. Stored facts only: a verdict may come until a checker's end is."""
    waiting = [one for one in iteration.status.reported.findings if one.checked is None]
    if not waiting or not can_check(draft) or _had_its_chance(draft, iteration):
        return []
    return waiting


def to_check(draft: Draft) -> bool:
    """Whether the next iteration needs a checker."""
    return any(unchecked(draft, one) for one in draft.observed.iterations.values() if one.status.phase == "Open")


def _had_its_chance(draft: Draft, iteration: ResearchIteration) -> bool:
    """Whether a checker of a later iteration has ended: what it left open was not worth a word to it."""
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
