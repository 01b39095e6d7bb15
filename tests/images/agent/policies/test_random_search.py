"""The policy random-search."""

from math import ceil
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.space import Space
from rloop.api.wire import ExperimentView
from rloop_agent.policies.ground import Ground, centre, draw
from rloop_agent.policies.random_search import propose
from rloop_agent.start import tried_points
from rloop_agent.testing import SPACE

FRAMES = [{"method": method, "loss": loss} for method in ("plain", "smooth", "pool") for loss in "12"]


@given(seed=st.integers(), frame=st.sampled_from(FRAMES))
def test_each_proposal_lies_in_the_frame_and_is_admitted(seed: int, frame: dict[str, str]) -> None:
    ground = Ground(SPACE, frame, centre(SPACE, frame, {}))
    point = propose(ground, [], Random(seed))
    assert point is not None
    assert SPACE.frame_of(point) == frame
    existing = {dimension.name: dimension for dimension in SPACE.existing(frame)}
    assert set(point) == set(existing)
    assert all(existing[name].admits(value) for name, value in point.items())


@given(seed=st.integers())
def test_the_same_seed_gives_the_same_proposals(seed: int) -> None:
    ground = Ground(SPACE, FRAMES[0], centre(SPACE, FRAMES[0], {}))
    assert propose(ground, [], Random(seed)) == propose(ground, [], Random(seed))


def small(count: int) -> Ground:
    space = Space.model_validate(
        {
            "file": "r.json",
            "dimensions": [{"name": "a", "key": "a", "values": list(range(count)), "default": 0}],
        }
    )
    return Ground(space, {}, {"a": 0})


def test_a_known_point_is_not_proposed_again() -> None:
    assert propose(small(3), [{"a": 0}, {"a": 2}], Random(1)) == {"a": 1}


def test_a_frame_without_untried_points_has_no_proposal() -> None:
    assert propose(small(2), [{"a": 0}, {"a": 1}], Random(1)) is None


@pytest.mark.parametrize(
    ("dimension", "share", "why"),
    [
        ({"low": 0.001, "high": 10.0, "log": True, "default": 1.0}, 0.5, "half the decades lie below 0.1"),
        ({"low": 0.0, "high": 0.2, "default": 0.1}, 0.5, "half of the range lies below 0.1"),
        ({"low": -1.0, "high": 0.2, "default": 0.1}, 11 / 12, "a range may be negative"),
        (
            {"low": 0, "high": 3, "integer": True, "default": 1},
            0.25,
            "one of four whole numbers is below 0.1",
        ),
        ({"low": 1e-9, "high": 1e9, "log": True, "default": 1}, 8 / 18, "a range may be very wide"),
    ],
)
def test_draws_are_spread_over_the_range(dimension: dict[str, object], share: float, why: str) -> None:
    space = Space.model_validate({"file": "r.json", "dimensions": [{"name": "a", "key": "a", **dimension}]})
    dice = Random(5)
    values = [draw(space.dimensions[0], dice) for _ in range(2000)]
    assert all(space.dimensions[0].admits(value) for value in values), why
    below = sum(float(value) < 0.1 for value in values) / len(values)
    assert abs(below - share) < 0.04, why


ENDS = st.floats(1e-6, 1e6)


@given(low=ENDS, high=ENDS, log=st.booleans(), integer=st.booleans(), seed=st.integers())
def test_a_draw_is_admitted_whatever_the_range(low: float, high: float, log: bool, integer: bool, seed: int) -> None:
    if not low < high:
        low, high = high, low + high
    if integer:
        low, high = float(ceil(low)), float(ceil(low) + ceil(high))
    dimension = Space.model_validate(
        {
            "file": "r.json",
            "dimensions": [
                {"name": "a", "key": "a", "low": low, "high": high, "default": low, "log": log} | {"integer": integer}
            ],
        }
    ).dimensions[0]
    assert dimension.admits(draw(dimension, Random(seed)))


@pytest.mark.parametrize(
    ("fields", "free"),
    [
        ({"phase": "Rejected", "runs": 1}, False),
        ({"phase": "Withdrawn", "reason": "PivotDemanded"}, True),
        ({"phase": "Withdrawn", "reason": "PivotDemanded", "runs": 1}, False),
        ({"phase": "Withdrawn", "reason": "BudgetExhausted"}, False),
        ({"phase": "Running"}, False),
    ],
)
def test_the_point_of_what_never_ran_is_free(fields: dict[str, Any], free: bool) -> None:
    view = ExperimentView(name="demo-i0001-e1", title="x", point={"a": "1"}, **fields)
    assert (tried_points(small(3).space, [view]) == []) is free
