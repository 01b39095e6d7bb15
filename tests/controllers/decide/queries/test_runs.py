"""Small questions about runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import attempt, baseline, done, experiment, kept, run

from rloop.api.experiment import MAX_RUNS
from rloop.decide.queries import runs


def seed(experiment: str, run: int) -> int:
    return len(experiment) * 1000 + run


@pytest.mark.parametrize(
    ("own", "count"),
    [
        pytest.param(baseline(), 5, id="the baseline is compared by its own runs"),
        pytest.param(kept(), 9, id="a keep without the run that selected it"),
        pytest.param(kept("demo-i0001-e1", *done("reference", 0.5)), 10, id="with the reference runs made since"),
        pytest.param(kept("demo-i0001-e1", *done("final", 0.5)), 9, id="without the final ones"),
        pytest.param(experiment("demo-i0001-e1", *done("screen", 1)), 1, id="a provisional keep has nothing else"),
    ],
)
def test_values_that_challengers_are_compared_with(own: Any, count: int) -> None:
    assert len(runs.incumbent_values(own)) == count


def test_added_runs_have_seeds_of_their_own() -> None:
    one = runs.add(baseline(), "reference", 3, seed)
    assert len({own.seed for own in one[5:]}) == 3
    assert [own.seed for own in one[5:]] == [seed("demo-b01", number) for number in (6, 7, 8)]


def test_no_experiment_gets_more_runs_than_its_status_can_hold() -> None:
    assert len(runs.add(baseline(), "reference", 99, seed)) == MAX_RUNS


@pytest.mark.parametrize(
    ("own", "started"),
    [
        pytest.param([], False, id="no run"),
        pytest.param([run()], False, id="a queued run"),
        pytest.param([run(phase="Withdrawn", attempts=[attempt("Failed")])], True, id="a run that had an attempt"),
    ],
)
def test_started(own: list[Any], started: bool) -> None:
    assert runs.started(experiment("demo-i0001-e1", *own)) is started


def test_what_the_machine_lost_does_not_count() -> None:
    tried = [attempt("Failed"), attempt("Failed", 2, infrastructure=True), attempt("Running", 3)]
    assert runs.counted_failures(tried) == 1
