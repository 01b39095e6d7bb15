"""One step of the chain on one snapshot: what the twin tests of the decisions ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.builders import SEALED, moment

from rloop import names
from rloop.actions import Start, Stop
from rloop.api.common import Condition
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import ResearchLoopStatus
from rloop.api.researchloop import ResearchLoop
from rloop.decide.draft import Decision, Draft
from rloop.names import SeedKeys
from rloop.observed import Observed, WorkloadState


def observed(
    of: ResearchLoop, *objects: ResearchExperiment | ResearchIteration | WorkloadState, **fields: Any
) -> Observed:
    """One snapshot of the world, a minute after the start."""
    return Observed(
        **{
            "now": moment(60),
            "loop": of,
            "seed_keys": SeedKeys(b"of runs", b"of scorings"),
            "iterations": {one.metadata.name: one for one in objects if isinstance(one, ResearchIteration)},
            "experiments": {one.metadata.name: one for one in objects if isinstance(one, ResearchExperiment)},
            "workloads": {one.name: one for one in objects if isinstance(one, WorkloadState)},
            "sealed": SEALED,
            **fields,
        }
    )


def after(step: Callable[[Draft], None], seen: Observed) -> Decision:
    """What one step of the chain decides."""
    draft = Draft(seen)
    step(draft)
    return draft.decision()


def status_after(step: Callable[[Draft], None], seen: Observed) -> ResearchLoopStatus:
    """The loop's status after one step, whether or not it changed."""
    return after(step, seen).status or seen.loop.status


def experiment_after(step: Callable[[Draft], None], seen: Observed, name: str = "demo-i0001-e1") -> ResearchExperiment:
    """An experiment after one step, whether or not it changed."""
    changed = {one.metadata.name: one for one in after(step, seen).experiments}
    return changed.get(name, seen.experiments[name])


def iteration_after(step: Callable[[Draft], None], seen: Observed, number: int = 1) -> ResearchIteration:
    """An iteration after one step, whether or not it changed."""
    name = names.iteration("demo", number)
    changed = {one.metadata.name: one for one in after(step, seen).iterations}
    return changed.get(name, seen.iterations[name])


def the(decision: Decision, type_: str) -> Condition:
    """A condition of the decision's status."""
    assert decision.status is not None
    return next(one for one in decision.status.conditions if one.type == type_)


def starts(decision: Decision) -> list[str]:
    """Names of the workloads that are to be started."""
    return [one.workload.name for one in decision.actions if isinstance(one, Start)]


def stops(decision: Decision) -> dict[str, str]:
    """Workloads that are to be ended, with the reason."""
    return {one.name: one.reason for one in decision.actions if isinstance(one, Stop)}


def told(decision: Decision) -> list[str]:
    """Reasons of the events."""
    return [one.reason for one in decision.events]
