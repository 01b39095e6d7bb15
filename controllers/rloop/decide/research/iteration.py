"""Iterations: when and with which outcome one is settled, and when the next one opens with which sessions.

An iteration opens when fewer screens are queued than slots exist: waiting for every experiment to end would leave most
slots of a wide campaign empty.
"""

from __future__ import annotations

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import SESSION_OVER, Outcome, ResearchIteration, Role
from rloop.decide import opening
from rloop.decide.draft import Draft
from rloop.decide.queries import accounts, comparison, finding_checks, iteration_work, pauses, provider_waits, runs
from rloop.decide.research import exhaustion, plateau


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
        own = iteration_work.experiments_of(draft, iteration)
        if not iteration_work.all_terminal(draft, own) or finding_checks.unchecked(
            draft, draft.observed.iterations[name]
        ):
            continue
        outcome = _outcome(draft, iteration, own)
        draft.write_iteration(
            name, phase="Settled", outcome=outcome, keeps_at_settlement=draft.keeps, settled_at=draft.now
        )
        draft.tell("IterationSettled", f"{name}: {outcome}, {len(own)} experiments", about=name)


def _outcome(draft: Draft, iteration: ResearchIteration, own: list[ResearchExperiment]) -> Outcome:
    if (gained := iteration_work.gain(iteration, own)) is not None:
        return gained
    explorers = finding_checks.explorers(iteration)
    if any(provider_waits.waited(one) for one in explorers):
        return "Void"
    given_up = all(one.phase == "Failed" for one in explorers)
    verdicts = [one.status.verdict for one in own]
    if (own and all(one is not None and one.reason == "InfrastructureFailing" for one in verdicts)) or (
        not own and given_up
    ):
        return "Void"
    if any(one.reason == finding_checks.HELD for one in explorers):
        return "Neutral"
    return "Stale" if iteration.spec.generation == draft.generation else "Neutral"


def open_next(draft: Draft) -> None:
    """Open the next iteration, with fresh sessions."""
    if draft.holding or draft.status.baseline is None or comparison.concluding(draft) or accounts.exhausted(draft):
        return
    if exhaustion.reached(draft):  # every proposal would be a duplicate
        return
    # A new generation is stored before an iteration is stamped with it, and a due pivot comes first.
    if draft.generation != draft.loop.status.generation or plateau.due(draft):
        return
    if draft.at_work or any(_settles_next(draft, one) for one in draft.iterations.values()):
        return
    queued = sum(not runs.started(one) for one in draft.open_candidates())
    if queued >= draft.spec.parallelism or ((at := pauses.next_opening(draft)) is not None and not draft.passed(at)):
        return
    roles: list[Role] = [*draft.spec.agent.explorers]
    if finding_checks.to_check(draft):
        roles.append("Check")
    opening.open_with(draft, roles)


def _settles_next(draft: Draft, iteration: ResearchIteration) -> bool:
    """Whether the next pass settles it without any measurement. The pause before the next one counts from there."""
    status = iteration.status
    ended = bool(status.sessions) and all(one.phase in SESSION_OVER for one in status.sessions)
    proposed = bool(iteration_work.experiments_of(draft, iteration))
    return ended and status.phase == "Open" and not status.reported.findings and not proposed
