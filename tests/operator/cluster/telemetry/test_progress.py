"""What the operator's tasks note, and what that says about its health."""

from __future__ import annotations

from typing import Any

import pytest
from tests.operator.cluster.conftest import Clock

from rloop_operator.cluster.telemetry.progress import PASS_SECONDS, Progress

KEY = ("default", "demo")


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(60, clock)


def problems(progress: Progress) -> dict[str, str]:
    return {part.name: problem for part in progress.parts() if (problem := part.problem())}


def loop(version: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": "demo", "resourceVersion": version}}


def test_a_patrol_that_fails_is_no_reason_for_a_restart_and_one_that_hangs_is(progress: Progress, clock: Clock) -> None:
    curable = {part.name for part in progress.parts() if part.curable}
    for _ in range(5):
        clock.now += 60
        progress.tried()
    assert set(problems(progress)) == {"patrol"}
    clock.now += 241
    assert set(problems(progress)) & curable == {"patrol-task"}
    assert problems(progress)["patrol-task"] == "a patrol ended 241 s ago; the limit is 240 s"


def test_a_pass_that_hangs_is_named(progress: Progress, clock: Clock) -> None:
    progress.begin(("default", "short"))
    progress.begin(KEY)
    progress.end(("default", "short"))
    clock.now += PASS_SECONDS
    assert problems(progress).get("reconcile") is None
    clock.now += 1
    assert problems(progress)["reconcile"] == "a pass over default/demo began 301 s ago"
    progress.end(KEY)
    assert problems(progress).get("reconcile") is None


def patrols(progress: Progress, clock: Clock, listed: list[str], delivered: list[str]) -> None:
    """At each patrol this version is listed; before it the watch has told of that one, unless it is empty."""
    for version, told in zip(listed, delivered, strict=True):
        if told:
            progress.delivered(KEY, told)
        clock.now += 1
        progress.patrolled(clock.now, [loop(version)])
        progress.tried()
        clock.now += 59


@pytest.mark.parametrize(
    ("listed", "delivered", "works"),
    [
        pytest.param(["1", "1", "1"], ["1", "", ""], True, id="nothing changes, nothing is told"),
        pytest.param(["1", "2", "3"], ["1", "2", "3"], True, id="each change is told"),
        pytest.param(["1", "3", "5"], ["1", "2", "4"], True, id="changes come between the two"),
        pytest.param(["1", "2", "2"], ["1", "", "2"], True, id="one came late"),
        pytest.param(["1", "2", "2"], ["1", "", ""], True, id="once may be chance"),
        pytest.param(["1", "2", "2", "2"], ["1", "", "", ""], False, id="a change is never told"),
        pytest.param(["1", "2", "3", "4"], ["1", "", "", ""], False, id="changes are never told"),
        pytest.param(["1", "1", "1"], ["", "", ""], False, id="the loop was never told of"),
        pytest.param(["1", "2", "2", "2", "2"], ["1", "", "", "", "2"], True, id="the watch has come back"),
    ],
)
def test_the_watch_has_to_tell_what_patrols_see(
    progress: Progress, clock: Clock, listed: list[str], delivered: list[str], works: bool
) -> None:
    patrols(progress, clock, listed, delivered)
    assert ("watch" not in problems(progress)) == works


def test_a_loop_that_was_made_during_a_patrol_is_not_missed(progress: Progress, clock: Clock) -> None:
    begun = clock.now
    progress.delivered(KEY, "1")
    clock.now += 1
    progress.patrolled(begun, [])
    for _ in range(4):
        clock.now += 60
        progress.patrolled(clock.now, [loop("1")])
    assert "watch" not in problems(progress)


def test_a_deleted_loop_is_not_missed(progress: Progress, clock: Clock) -> None:
    patrols(progress, clock, ["1", "2"], ["1", ""])
    for _ in range(3):
        progress.patrolled(clock.now, [])
    assert "watch" not in problems(progress)


def test_ages_are_those_of_what_last_succeeded(progress: Progress, clock: Clock) -> None:
    clock.now += 10
    progress.patrolled(clock.now, [])
    clock.now += 5
    progress.answered()
    clock.now += 1
    assert (progress.patrol_age(), progress.answer_age()) == (6, 1)
