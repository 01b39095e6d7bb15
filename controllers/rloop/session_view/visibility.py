"""The part of a campaign that a session may see: explorers not their active siblings, a checker only its claims.

Called by the gateway for every request. Explorers that read each other follow each other; a checker that knows who made
a claim, and what they hope for, is not independent. Hidden experiments cannot be used as parent or evidence either.
"""

from __future__ import annotations

from dataclasses import replace

from rloop import names
from rloop.api.iteration import Finding, ResearchIteration
from rloop.campaign_state import Situation


def of_session(whole: Situation) -> Situation:
    """The situation as its session may see it. `iteration` stays complete, because reports are written to it."""
    return _of_checker(whole) if whole.session.role == "Check" else _of_explorer(whole)


def claims(situation: Situation) -> list[Finding]:
    """The findings that a checker examines: unchecked ones of earlier open iterations."""
    own = situation.iteration.spec.number
    earlier = (one for one in situation.iterations.values() if one.spec.number < own and one.status.phase == "Open")
    return [finding for one in earlier for finding in one.status.reported.findings if finding.checked is None]


def _of_explorer(whole: Situation) -> Situation:
    iteration = whole.iteration
    siblings = {one.name for one in iteration.spec.sessions} - {whole.session.name}
    if not siblings or iteration.status.phase != "Open":
        return whole
    shown = {name: one for name, one in whole.experiments.items() if one.spec.session not in siblings}
    hidden = [one for name, one in whole.experiments.items() if name not in shown and one.spec.kind == "Candidate"]
    own = _without(iteration, siblings)
    iterations = {**whole.iterations, iteration.metadata.name: own}
    return replace(whole, iterations=iterations, experiments=shown, hidden=len(hidden))


def _without(iteration: ResearchIteration, siblings: set[str]) -> ResearchIteration:
    reported = iteration.status.reported
    own = reported.changed(
        directions=[one for one in reported.directions if one.session not in siblings],
        findings=[one for one in reported.findings if one.session not in siblings],
        handoffs=[one for one in reported.handoffs if one.session not in siblings],
    )
    return iteration.changed(status=iteration.status.changed(reported=own))


def _of_checker(whole: Situation) -> Situation:
    named = {name for finding in claims(whole) for name in finding.evidence}
    verdicts = (whole.experiments[name].status.verdict for name in named if name in whole.experiments)
    named |= {one.compared_with for one in verdicts if one is not None and one.compared_with is not None}
    named.add(names.baseline(whole.loop.metadata.name))
    shown = {name: one for name, one in whole.experiments.items() if name in named}
    return replace(whole, experiments=shown)
