"""The policy coordinate-search."""

import math
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.space import Point, Space
from rloop_agent.policies.coordinate_search import propose, share_of_range
from rloop_agent.policies.ground import Ground, centre
from rloop_agent.testing import SPACE

SMOOTH = {"method": "smooth", "loss": "1"}


def changed(ground: Ground, point: Point) -> list[str]:
    return [name for name in point if point[name] != ground.centre[name]]


@given(
    seed=st.integers(),
    rate=st.floats(0.001, 1.0),
    depth=st.integers(1, 9),
    results=st.integers(0, 100),
    frame=st.sampled_from([SMOOTH, {"method": "plain", "loss": "2"}]),
)
def test_one_coordinate_changes_and_the_point_is_admitted(
    seed: int, rate: float, depth: int, results: int, frame: dict[str, str]
) -> None:
    ground = Ground(SPACE, frame, centre(SPACE, frame, {"rate": rate, "depth": depth}), results)
    assert (ground.centre["rate"], ground.centre["depth"]) == (rate, depth)
    point = propose(ground, [], Random(seed))
    assert point is not None
    assert len(changed(ground, point)) == 1
    assert SPACE.frame_of(point) == frame
    existing = {dimension.name: dimension for dimension in SPACE.existing(frame)}
    assert set(point) == set(existing)
    assert all(existing[name].admits(value) for name, value in point.items())
    assert point == propose(ground, [], Random(seed))


def test_every_coordinate_gets_its_turn() -> None:
    ground = Ground(SPACE, SMOOTH, centre(SPACE, SMOOTH, {}))
    known: list[Point] = []
    dice = Random(3)
    for _ in range(6):
        point = propose(ground, known, dice)
        assert point is not None
        known.append(point)
    assert Counter(changed(ground, point)[0] for point in known) == {"rate": 2, "depth": 2, "width": 2}


@pytest.mark.parametrize(
    ("results", "share", "why"),
    [
        (0, 1 / 2, "nothing is known: wide steps"),
        (2, 1 / 2, "the first sweep is not over"),
        (3, 1 / 4, "one sweep of three coordinates"),
        (6, 1 / 8, "two sweeps"),
        (1000, 1 / 64, "shorter steps would drown in the noise"),
    ],
)
def test_steps_become_shorter_with_each_sweep(results: int, share: float, why: str) -> None:
    assert share_of_range(results, 3) == share, why
    frame = {"method": "plain", "loss": "1"}
    ground = Ground(SPACE, frame, centre(SPACE, frame, {"rate": 0.03}), results)
    share = share_of_range(results, 2)
    longest = share * math.log(1.0 / 0.001)
    for seed in range(100):
        point = propose(ground, [], Random(seed))
        assert point is not None
        if "rate" in changed(ground, point):
            length = abs(math.log(float(point["rate"]) / 0.03))
            assert longest / 2 - 0.01 <= length <= longest + 0.01, why


def test_in_a_space_with_one_frame_long_steps_follow_the_shortest() -> None:
    shares = [share_of_range(3 * sweep, 3, again=True) for sweep in range(7)]
    assert shares == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 2]


def test_a_frame_without_coordinates_has_one_point() -> None:
    space = Space.model_validate(
        {
            "file": "r.json",
            "dimensions": [
                {"name": "a", "key": "a", "values": [1, 2], "default": 1, "structural": True} | {"field": "data"}
            ],
        }
    )
    ground = Ground(space, {"a": "1"}, {"a": 1})
    assert propose(ground, [], Random(1)) == {"a": 1}
    assert propose(ground, [{"a": 1}], Random(1)) is None


def test_where_a_list_is_used_up_another_coordinate_is_varied() -> None:
    space = Space.model_validate(
        {
            "file": "r.json",
            "dimensions": [
                {"name": "a", "key": "a", "values": [1, 2], "default": 1},
                {"name": "b", "key": "b", "low": 0, "high": 1, "default": 0.5},
            ],
        }
    )
    ground = Ground(space, {}, {"a": 1, "b": 0.5})
    known: list[Point] = []
    dice = Random(2)
    for _ in range(8):
        point = propose(ground, known, dice)
        assert point is not None
        known.append(point)
    assert sum(point["a"] == 2 for point in known) == 1


ranges = st.integers(1, 40).flatmap(
    lambda low: st.tuples(st.just(low), st.integers(low + 1, low + 25), st.booleans(), st.integers(0, 25))
)


def whole_numbers(ranges: list[tuple[int, int, bool, int]]) -> tuple[Space, Point]:
    """A space of integer ranges (low, high, log, centre above low), and its centre."""
    at = {str(index): min(low + above, high) for index, (low, high, _, above) in enumerate(ranges)}
    dimensions = [
        {"name": name, "key": name, "low": low, "high": high, "log": log, "integer": True, "default": at[name]}
        for name, (low, high, log, _) in zip(at, ranges, strict=True)
    ]
    return Space.model_validate({"file": "r.json", "dimensions": dimensions}), dict(at)


@given(data=st.data(), ranges=st.lists(ranges, min_size=1, max_size=3), results=st.integers(0, 100), seed=st.integers())
def test_in_whole_numbers_a_new_point_is_proposed_while_there_is_one_beside_the_centre(
    data: st.DataObject, ranges: list[tuple[int, int, bool, int]], results: int, seed: int
) -> None:
    space, at = whole_numbers(ranges)
    beside: list[Point] = [
        {**at, name: value}
        for name, (low, high, _, _) in zip(at, ranges, strict=True)
        for value in range(low, high + 1)
        if value != at[name]
    ]
    known = data.draw(st.lists(st.sampled_from(beside)) | st.just(beside) | st.just(beside[1:]))
    point = propose(Ground(space, {}, at, results), known, Random(seed))
    untried = [one for one in beside if one not in known]
    assert point in untried if untried else point is None


@pytest.mark.parametrize("log", [False, True])
def test_steps_below_one_do_not_stand_still(log: bool) -> None:
    space, at = whole_numbers([(1, 20, log, 9)])
    known: list[Point] = []
    while (point := propose(Ground(space, {}, at, 1000), known, Random(len(known)))) is not None:
        known.append(point)
    assert sorted(point["0"] for point in known) == [value for value in range(1, 21) if value != 10]
    assert abs(int(known[0]["0"]) - 10) == 1
