"""Which lines `rloop run` tells of what the stored objects show."""

from dataclasses import replace
from typing import Any

import pytest
from tests.operator.cli.conftest import START, STATUS, at, condition, experiment, objects
from tests.support.builders import manifest

from rloop.actions import Event
from rloop.api.common import Condition
from rloop.api.experiment import ResearchExperiment
from rloop.api.loop_status import ResearchLoopStatus
from rloop.api.researchloop import ResearchLoop
from rloop.names import SeedKeys
from rloop.observed import Observed
from rloop_operator.cli.views.story import Story

WORDS = "ModuleNotFoundError: No module named 'torchy'"


def seen() -> Observed:
    loop = ResearchLoop.model_validate(manifest())
    loop = loop.model_copy(update={"status": ResearchLoopStatus.model_validate(STATUS)})
    iterations, experiments = objects()
    by_name = {one.metadata.name: one for one in experiments}
    return Observed(START, loop, SeedKeys(b"", b""), {one.metadata.name: one for one in iterations}, by_name, {})


def failed(kind: str = "Candidate", phase: str = "Failed") -> ResearchExperiment:
    message = f"run 1: Error, exit code 1; last output: {WORDS}"
    status: dict[str, Any] = {"phase": phase, "verdict": {"reason": "Error", "message": message, "at": at(70)}}
    return experiment("demo-i0002-e2", 2, status, kind=kind)


def test_a_candidate_that_fails_is_told_once_with_its_last_words() -> None:
    story, before = Story(), seen()
    story.lines(before)
    after = replace(before, experiments={**before.experiments, "demo-i0002-e2": failed()})
    told = [(line.label, line.text) for line in story.lines(after)]
    assert told == [("warning", f"i0002-e2 failed (Error): run 1: Error, exit code 1; last output: {WORDS}")]
    assert story.lines(after) == []
    assert [line.label for line in Story().lines(after)] == ["resumed"], "what an earlier command told"


@pytest.mark.parametrize("one", [failed("Smoke"), failed(phase="Rejected")], ids=["a smoke test", "a rejected one"])
def test_what_is_no_failed_candidate_is_not_warned_of(one: ResearchExperiment) -> None:
    story, before = Story(), seen()
    story.lines(before)
    assert story.lines(replace(before, experiments={**before.experiments, "demo-i0002-e2": one})) == []


def test_a_failed_session_that_needs_a_person_is_told_once() -> None:
    """The event of the session and that of the condition have the same words."""
    story, before = Story(), seen()
    story.lines(before)
    why = "demo-i0002-s1 failed: NothingDone: it proposed nothing. Remedy: propose"
    story.heard(Event("Warning", "AgentFailed", why, "demo-i0002"))
    story.heard(Event("Warning", "NothingDone", why, "demo"))
    degraded = Condition.model_validate(condition("Degraded", "NothingDone", why))
    after = replace(before, loop=before.loop.changed(status=before.loop.status.changed(conditions=[degraded])))
    told = [(line.label, line.text) for line in [*story.lines(after), *story.lines(after)]]
    assert told == [("warning", f"a person must act: {why.replace('demo-', '')}")]
