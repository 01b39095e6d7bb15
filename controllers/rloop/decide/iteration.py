"""Iterations: when and with which outcome one is settled, and when the next one opens with which sessions.

An iteration opens when fewer screens are queued than slots exist: waiting for every experiment to end would leave most
slots of a wide campaign empty.
"""

from __future__ import annotations

from rloop import names, standing
from rloop.actions import Create
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.api.iteration import (
    SESSION_OVER,
    Outcome,
    ResearchIteration,
    ResearchIterationSpec,
    Role,
    SessionSpec,
)
from rloop.decide import exhaustion, findings, plateau, provider, runs, waiting
from rloop.decide.baseline import children_metadata
from rloop.decide.budget import exhausted, spent
from rloop.decide.draft import Draft
from rloop.decide.judge import concluding


def settle(draft: Draft) -> None:
    """Settle the iterations whose sessions ended, whose experiments are terminal and whose findings are checked.

    Only stored facts count, for two reasons. The end of a session is observed after the experiments were read, so its
    last experiment may be missing. And an iteration that is settled because of a verdict, a keep or a pivot that is
    then not stored would stay wrong.
    """
    if draft.generation != draft.loop.status.generation:
        return
    for name, iteration in list(draft.iterations.items()):
        sessions = draft.observed.iterations[name].status.sessions
        if (
            iteration.status.phase == "Settled"
            or not sessions
            or any(one.phase not in SESSION_OVER for one in sessions)
        ):
            continue
        own = experiments_of(draft, iteration)
        if not all_terminal(draft, own) or findings.unchecked(draft, draft.observed.iterations[name]):
            continue
        outcome = _outcome(draft, iteration, own)
        draft.write_iteration(
            name, phase="Settled", outcome=outcome, keeps_at_settlement=draft.keeps, settled_at=draft.now
        )
        draft.tell("IterationSettled", f"{name}: {outcome}, {len(own)} experiments", about=name)


def experiments_of(draft: Draft, iteration: ResearchIteration) -> list[ResearchExperiment]:
    """All candidates that the iteration's sessions proposed."""
    number = iteration.spec.number
    return [one for one in draft.experiments.values() if one.spec.iteration == number and one.spec.kind == "Candidate"]


def all_terminal(draft: Draft, own: list[ResearchExperiment]) -> bool:
    """Whether all of these have a stored verdict."""
    return all(draft.observed.experiments[one.metadata.name].status.phase in TERMINAL_PHASES for one in own)


def gain(iteration: ResearchIteration, own: list[ResearchExperiment]) -> Outcome | None:
    """The verified result of an iteration with these experiments; None without one."""
    phases = {one.status.phase for one in own}
    if "Accepted" in phases:
        return "Keep"
    supported = any(one.checked == "Supported" for one in iteration.status.reported.findings)
    return "Finding" if supported or "Superseded" in phases else None


def close(draft: Draft, name: str) -> None:
    """Settle an iteration that the end of the campaign cut short. Without a result it is Neutral, not Stale."""
    iteration = draft.iterations[name]
    outcome = gain(iteration, experiments_of(draft, iteration)) or "Neutral"
    draft.write_iteration(name, phase="Settled", outcome=outcome, settled_at=draft.now)


def _outcome(draft: Draft, iteration: ResearchIteration, own: list[ResearchExperiment]) -> Outcome:
    if (gained := gain(iteration, own)) is not None:
        return gained
    explorers = findings.explorers(iteration)
    if any(provider.waited(one) for one in explorers):
        return "Void"
    given_up = all(one.phase == "Failed" for one in explorers)
    verdicts = [one.status.verdict for one in own]
    if (own and all(one is not None and one.reason == "InfrastructureFailing" for one in verdicts)) or (
        not own and given_up
    ):
        return "Void"
    if any(one.reason == findings.HELD for one in explorers):
        return "Neutral"
    return "Stale" if iteration.spec.generation == draft.generation else "Neutral"


def open_next(draft: Draft) -> None:
    """Open the next iteration, with fresh sessions."""
    if draft.holding or draft.status.baseline is None or concluding(draft) or exhausted(draft):
        return
    if exhaustion.reached(draft):  # every proposal would be a duplicate
        return
    # A new generation is stored before an iteration is stamped with it, and a due pivot comes first.
    if draft.generation != draft.loop.status.generation or plateau.due(draft):
        return
    if draft.at_work or any(_settles_next(draft, one) for one in draft.iterations.values()):
        return
    queued = sum(not runs.started(one) for one in draft.open_candidates())
    if queued >= draft.spec.parallelism or not _paused_long_enough(draft):
        return
    roles: list[Role] = [*draft.spec.agent.explorers]
    if findings.to_check(draft):
        roles.append("Check")
    open_with(draft, roles)


def _settles_next(draft: Draft, iteration: ResearchIteration) -> bool:
    """Whether the next pass settles it without any measurement. The pause before the next one counts from there."""
    status = iteration.status
    ended = bool(status.sessions) and all(one.phase in SESSION_OVER for one in status.sessions)
    idle = status.phase == "Open" and not status.reported.findings and not experiments_of(draft, iteration)
    return ended and idle


def open_with(draft: Draft, roles: list[Role]) -> None:
    """Open an iteration with one session for each of these roles."""
    number = standing.newest(draft.iterations) + 1
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
            max_experiments=0 if role in standing.NO_EXPLORERS else _allowance(draft),
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
    return ResearchIteration(metadata=children_metadata(draft.loop, name), spec=spec)


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
    wanted = agent.llm.max_tokens_per_session
    return wanted if limit is None else min(wanted, max(1, (limit - spent(draft).tokens) // sessions))


def _paused_long_enough(draft: Draft) -> bool:
    """Whether the pause after empty or Void iterations is over: 1, 2, 4, … seconds, to avoid a hot loop."""
    settled = sorted(
        (one for one in draft.iterations.values() if one.status.settled_at is not None),
        key=lambda one: one.spec.number,
    )
    empty = 0
    for one in reversed(settled):
        if experiments_of(draft, one) and one.status.outcome != "Void":
            break
        empty += 1
    if not empty:
        return True
    ended = settled[-1].status.settled_at
    return ended is None or waiting.paused(draft, ended, empty)
