"""The policies tpe and cma-es by what holds for both; what is special about cma-es is in its own test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from statistics import mean, median
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rloop.api.space import Frame, Point, Space
from rloop_agent.policies import trials
from rloop_agent.policies.ground import Ground, Policy, Record, centre
from rloop_agent.policies.table import POLICIES
from rloop_agent.testing import SPACE

BOTH = pytest.mark.parametrize("name", ["tpe", "cma-es"])
FRAMES = [{"method": method, "loss": loss} for method in ("plain", "smooth", "pool") for loss in "12"]
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def space(*dimensions: dict[str, Any]) -> Space:
    named = [{"name": name, "key": name, **one} for name, one in zip("abcdefgh", dimensions, strict=False)]
    return Space.model_validate({"file": "r.json", "dimensions": named})


BOWL = space(
    {"low": -5, "high": 5, "default": 4},
    {"low": -5, "high": 5, "default": -4},
    {"low": 1e-4, "high": 1, "log": True, "default": 0.5},
    {"values": [8, 1, 16, 4, 2], "default": 1},
)


def height(point: Point) -> float:
    a, b, c, d = (float(point[name]) for name in "abcd")
    return (a - 1) ** 2 + (b + 2) ** 2 + 2 * (math.log10(c) + 2) ** 2 + (math.log2(d) - 2) ** 2


def searched(policy: Policy, seed: int, sign: float = 1.0) -> tuple[float, list[Point]]:
    """The best of 41 results, in sessions of five proposals, and all proposals."""
    dice = Random(seed)
    task = centre(BOWL, {}, {})
    records = [Record(task, sign * height(task), 5)]
    known = [task]
    for _ in range(8):
        best = min(records, key=lambda one: sign * (one.value or 0.0)).point
        goal = "Minimize" if sign > 0 else "Maximize"
        ground = Ground(BOWL, {}, best, len(records) - 1, records, goal)  # type: ignore[arg-type]
        for _ in range(5):
            point = policy(ground, known, dice)
            assert point is not None
            known.append(point)
        records = [*records, *(Record(one, sign * height(one), 1) for one in known[-5:])]
    return min(sign * (one.value or 0.0) for one in records), known


values = st.floats(-1e9, 1e9) | st.none()


@st.composite
def campaigns(draw: st.DrawFn) -> tuple[Frame, list[Record]]:
    """Results of several frames, and a frame to search."""
    records = []
    for index, value in enumerate(draw(st.lists(values, max_size=14))):
        frame = draw(st.sampled_from(FRAMES))
        point = centre(SPACE, frame, {"rate": 0.001 + 0.01 * index, "depth": 1 + index % 9})
        records.append(Record(point, value, 1, value is None and draw(st.booleans())))
    return draw(st.sampled_from(FRAMES)), records


@BOTH
@SLOW
@given(campaign=campaigns(), seed=st.integers(0, 2**31), goal=st.sampled_from(["Minimize", "Maximize"]))
def test_proposals_are_new_admitted_and_in_the_frame(
    name: str, campaign: tuple[Frame, list[Record]], seed: int, goal: Any
) -> None:
    frame, records = campaign
    known = [one.point for one in records]
    ground = Ground(SPACE, frame, centre(SPACE, frame, {}), 0, records, goal)
    first = POLICIES[name](ground, known, Random(seed))
    assert first is not None
    assert first not in known
    assert SPACE.frame_of(first) == frame
    existing = {dimension.name: dimension for dimension in SPACE.existing(frame)}
    assert set(first) == set(existing)
    assert all(existing[one].admits(value) for one, value in first.items())
    assert POLICIES[name](ground, known, Random(seed)) == first, "the same chance and records"


@BOTH
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["Minimize", "Maximize"])
def test_on_a_bowl_it_is_better_than_random_search(name: str, sign: float) -> None:
    ours = [searched(POLICIES[name], seed, sign)[0] for seed in range(7)]
    random = [searched(POLICIES["random-search"], seed, sign)[0] for seed in range(7)]
    assert median(ours) < median(random)
    assert mean(ours) < 0.8 * mean(random)


@BOTH
def test_a_small_space_is_searched_to_its_last_point(name: str) -> None:
    small = space({"values": ["x", "y", "z"], "default": "x"}, {"low": 1, "high": 2, "integer": True, "default": 1})
    known: list[Point] = [centre(small, {}, {})]
    dice = Random(1)
    records = [Record(known[0], 1.0, 5)]
    while (point := POLICIES[name](Ground(small, {}, known[0], 0, records), known, dice)) is not None:
        known.append(point)
        records.append(Record(point, float(len(known)), 1))
    assert len(known) == 6


@BOTH
def test_a_frame_without_coordinates_has_one_point(name: str) -> None:
    one = space({"values": [1, 2], "default": 1, "structural": True, "field": "data"})
    assert POLICIES[name](Ground(one, {"a": "1"}, {"a": 1}), [], Random(1)) == {"a": 1}
    assert POLICIES[name](Ground(one, {"a": "1"}, {"a": 1}), [{"a": 1}], Random(1)) is None


def params(ground: Ground, known: Sequence[Point]) -> list[tuple[str, Any, float | None]]:
    from rloop_agent.policies.tpe import sampler

    return [
        (one.state.name, one.params["a"], one.value) for one in trials.study(ground, known, sampler(1)).get_trials()
    ]


LINE = space({"low": 0, "high": 10, "default": 0})


@pytest.mark.parametrize(("goal", "worst"), [("Minimize", 3.0), ("Maximize", 1.0)])
def test_what_the_study_is_told(goal: Any, worst: float) -> None:
    """A failed point is told as the worst; what has no value yet, here or in this session, as running."""
    records = [Record({"a": 0.0}, 1.0, 5), Record({"a": 1.0}, 3.0, 1), Record({"a": 2.0}, failed=True)]
    records.append(Record({"a": 3.0}))
    known: list[Point] = [*(one.point for one in records), {"a": 4.0}]
    assert params(Ground(LINE, {}, {"a": 0.0}, 1, records, goal), known) == [
        ("COMPLETE", 0.0, 1.0),
        ("COMPLETE", 1.0, 3.0),
        ("COMPLETE", 2.0, worst),
        ("RUNNING", 3.0, None),
        ("RUNNING", 4.0, None),
    ]


def test_a_list_of_numbers_is_ordered_by_size_and_others_are_not() -> None:
    numbers, words, flags = space(
        {"values": [8, 1, 16.5, 4], "default": 1},
        {"values": ["8", "1", "4"], "default": "1"},
        {"values": [True, False], "default": True},
    ).dimensions
    assert (trials.axis(numbers).values, trials.axis(numbers).ordered) == ([1, 4, 8, 16.5], True)
    assert not trials.axis(words).ordered
    assert not trials.axis(flags).ordered
    mixed = space({"values": [1, True, "x"], "default": 1}).dimensions[0]
    assert [trials.axis(mixed).of(value) for value in (1, True, "x")] == [0, 1, 2]


def test_other_frames_count_while_the_frame_has_few_results() -> None:
    here, there = FRAMES[0], FRAMES[2]
    own = [Record(centre(SPACE, here, {"depth": 1 + index % 9}), float(index), 1) for index in range(10)]
    other = Record(centre(SPACE, there, {}), 1.0, 1)
    assert trials.relevant(Ground(SPACE, here, own[0].point, 9, [*own[:9], other])) == [*own[:9], other]
    assert trials.relevant(Ground(SPACE, here, own[0].point, 9, [*own, other])) == own
    smooth = Ground(SPACE, there, other.point, 1, [*own, other])
    assert trials.relevant(smooth) == [other], "plain frames have no width"
