"""Opens an iteration with fresh sessions, each with its share of the remaining budget.

Used by iteration, and by report for the last sessions. Takes no decisions.
"""

from __future__ import annotations

from rloop import campaign_state, names
from rloop.actions import Create
from rloop.api.iteration import ResearchIteration, ResearchIterationSpec, Role, SessionSpec
from rloop.decide import children
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts


def open_with(draft: Draft, roles: list[Role]) -> None:
    """Open an iteration with one session for each of these roles."""
    number = campaign_state.newest(draft.iterations) + 1
    draft.act(Create(_iteration(draft, number, roles)))
    draft.tell("IterationOpened", f"iteration {number}", about=names.iteration(draft.name, number))


def _iteration(draft: Draft, number: int, roles: list[Role]) -> ResearchIteration:
    name = names.iteration(draft.name, number)
    agent = draft.spec.agent
    sessions = [
        SessionSpec(
            name=names.session(name, index),
            role=role,
            max_rounds=agent.max_rounds,
            session_seconds=agent.session_seconds,
            max_experiments=0 if role in campaign_state.NO_EXPLORERS else _allowance(draft),
            max_tokens=_tokens(draft, len(roles)),
        )
        for index, role in enumerate(roles, start=1)
    ]
    spec = ResearchIterationSpec(
        loop_name=draft.name,
        number=number,
        generation=draft.generation,
        pivots=draft.status.pivots,
        pivot_demanded=draft.pivot_demanded,
        sessions=sessions,
    )
    return ResearchIteration(metadata=children.metadata(draft.loop, name), spec=spec)


def _allowance(draft: Draft) -> int:
    """Maximum number of experiments of one session: its share of the remaining budget."""
    limit = draft.spec.budget.experiments
    wanted = draft.spec.agent.max_experiments
    if limit is None:
        return wanted
    left = max(0, limit - len(draft.candidates()))
    return min(wanted, -(-left // len(draft.spec.agent.explorers)))


def _tokens(draft: Draft, sessions: int) -> int:
    """Maximum number of tokens of one of `sessions` sessions: its share of the remaining budget."""
    agent, limit = draft.spec.agent, draft.spec.budget.tokens
    if agent.llm is None:
        return 0
    wanted = agent.session_tokens
    return wanted if limit is None else min(wanted, max(1, (limit - accounts.spent(draft).tokens) // sessions))
