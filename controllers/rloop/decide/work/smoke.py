"""Smoke tests: one short run of an experiment that is never scored and shows an agent whether it starts at all.

They are no candidates, and no baseline, plateau or keep considers them. Their CPU and GPU time counts towards the
campaign's budget all the same.
"""

from __future__ import annotations

from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment, Verdict
from rloop.api.iteration import SESSION_OVER
from rloop.decide.draft import Draft
from rloop.decide.ending import withdraw_experiment
from rloop.decide.queries import runs


def look(draft: Draft) -> None:
    """Give each smoke test its run, and record the result."""
    over = {one.name: one.phase in SESSION_OVER for it in draft.iterations.values() for one in it.status.sessions}
    for experiment in draft.moving():
        if experiment.spec.kind == "Smoke" and experiment.status.phase not in TERMINAL_PHASES:
            _look(draft, experiment, nobody_waits=over.get(experiment.spec.session or "", False))


def _look(draft: Draft, experiment: ResearchExperiment, *, nobody_waits: bool) -> None:
    name = experiment.metadata.name
    if nobody_waits and not runs.started(experiment):
        withdraw_experiment(draft, name, "SessionOver", "withdrawn before its first run: its session has ended")
    elif not experiment.status.runs:
        draft.write_experiment(name, runs=runs.add(experiment, "smoke", 1, draft.run_seed))
    elif not runs.any_open(experiment):
        (run,) = experiment.status.runs
        passed = run.phase == "Done"
        last = run.attempts[-1]
        told = "it ran to the end and was not scored" if passed else runs.how_it_ended(last)
        verdict = Verdict(reason="Ran" if passed else run.reason or "RunFailed", message=told, at=draft.now)
        draft.write_experiment(name, phase="Passed" if passed else "Failed", verdict=verdict)
