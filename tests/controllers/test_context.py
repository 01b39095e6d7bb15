"""What a fresh session sees: enough, and nothing that lets it climb the noise."""

from __future__ import annotations

from statistics import stdev
from typing import Any

import pytest
from tests.support.builders import (
    baseline,
    direction,
    done,
    experiment,
    iteration,
    kept,
    run,
    running,
    session,
    verdict,
)

from rloop import context
from rloop.api.iteration import Handoff, Reported
from rloop.standing import Situation


def situation(*objects: Any, status: dict[str, Any] | None = None, reported: Reported | None = None) -> Situation:
    own = iteration(1, session(), reported=reported)
    return Situation(
        loop=running(status=status),
        iteration=own,
        session=own.spec.sessions[0],
        iterations={"demo-i0001": own},
        experiments={one.metadata.name: one for one in objects},
    )


def built(*objects: Any, **given: Any) -> Any:
    return context.build(situation(*objects, **given), space=None, incumbent_files={"recipe.json": "{}"})


def test_values_are_rounded_to_half_a_unit_of_noise() -> None:
    unit = context.noise_unit(kept())
    assert unit == pytest.approx(stdev([0.005 * n for n in range(-4, 5)]))
    seen = context.view(experiment("demo-i0001-e1", *done("screen", 0.51234567)), unit)
    assert seen.value is not None
    assert seen.value / (unit / 2) == pytest.approx(round(seen.value / (unit / 2)))


def test_the_value_of_a_keep_does_not_show_its_lucky_screen() -> None:
    seen = context.view(kept(), 0.0)
    assert seen.value == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pivots", "directions", "demand"),
    [
        pytest.param(0, [], None, id="no pivot was demanded"),
        pytest.param(1, [direction()], "Pivot", id="the demand is open"),
        pytest.param(1, [direction("demo-i0001-d2", pivot=1)], None, id="it was answered"),
    ],
)
def test_demand(pivots: int, directions: list[Any], demand: str | None) -> None:
    assert built(baseline(), status={"pivots": pivots}, reported=Reported(directions=directions)).demand == demand


def test_a_replaced_session_goes_on_with_the_next_number() -> None:
    assert built(baseline()).session.next_sequence == 1
    assert built(baseline(), experiment("demo-i0001-e2", run())).session.next_sequence == 3


def test_the_incumbent_comes_with_its_files() -> None:
    seen = built(baseline(), kept())
    assert (seen.incumbent.name, seen.incumbent.files) == ("demo-i0001-e1", {"recipe.json": "{}"})


def test_large_files_of_the_incumbent_are_no_error() -> None:
    big = {"train.py": "x" * 100_000}
    assert context.build(situation(baseline()), space=None, incumbent_files=big).incumbent.files == big


def test_discards_failures_and_the_last_handoff_are_told() -> None:
    failed = [experiment(f"demo-i0001-e{n}", phase="Failed", verdict=verdict("Error")) for n in range(1, 6)]
    reported = Reported(handoffs=[Handoff(session="demo-i0001-s1", text="try more")])
    seen = built(baseline(), *failed, reported=reported)
    assert [one.name for one in seen.failures] == ["demo-i0001-e3", "demo-i0001-e4", "demo-i0001-e5"]
    assert len(seen.results) == 5
    assert seen.handoff is not None
    assert seen.handoff.text == "try more"
