"""Which frame a pivot takes."""

from collections import Counter
from itertools import islice, product
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from rloop.api.space import Frame, Space
from rloop_agent.policies.frames import as_direction, untried
from rloop_agent.testing import SPACE

START = SPACE.default_frame


def distance(one: Frame, other: Frame) -> int:
    return sum(one[name] != other[name] for name in one)


def a_space(sizes: list[int]) -> Space:
    return Space.model_validate(
        {
            "file": "r.yaml",
            "dimensions": [
                {"name": f"d{i}", "key": f"k{i}", "values": [f"v{j}" for j in range(size)]}
                | {"default": "v0", "structural": True, "field": "method"}
                for i, size in enumerate(sizes)
            ],
        }
    )


@given(sizes=st.lists(st.integers(2, 4), min_size=1, max_size=4), seed=st.integers(), data=st.data())
def test_every_untried_frame_comes_once_and_the_nearest_first(sizes: list[int], seed: int, data: st.DataObject) -> None:
    space = a_space(sizes)
    everything = [{f"d{i}": f"v{j}" for i, j in enumerate(one)} for one in product(*(range(size) for size in sizes))]
    start = data.draw(st.sampled_from(everything))
    tried = data.draw(st.lists(st.sampled_from(everything)))
    frames = list(untried(space, start, tried, Random(seed)))
    assert sorted(map(str, frames)) == sorted(str(f) for f in everything if f not in tried and f != start)
    distances = [distance(start, frame) for frame in frames]
    assert distances == sorted(distances)
    assert frames == list(untried(space, start, tried, Random(seed)))


def test_the_choice_among_the_nearest_is_uniform() -> None:
    firsts = Counter(str(next(untried(SPACE, START, [], Random(seed)))) for seed in range(3000))
    # Three frames are one change away, though one dimension has twice as many of them as the other.
    assert len(firsts) == 3
    assert all(abs(count - 1000) < 130 for count in firsts.values())


def test_a_space_of_more_frames_than_fit_in_memory_is_no_trouble() -> None:
    space = a_space([64] * 32)
    near = list(islice(untried(space, space.default_frame, [], Random(1)), 32 * 63 + 10))
    assert [distance(space.default_frame, frame) for frame in near] == [1] * (32 * 63) + [2] * 10
    assert len({str(frame) for frame in near}) == len(near)


def test_a_space_without_structure_has_no_other_frame() -> None:
    space = Space.model_validate(
        {"file": "r.json", "dimensions": [{"name": "a", "key": "a", "values": [1, 2], "default": 1}]}
    )
    assert list(untried(space, {}, [], Random(1))) == []


def test_a_frame_is_written_down_field_by_field() -> None:
    request = as_direction(SPACE, {"method": "pool", "loss": "2"})
    assert request.title == "method=pool, loss=2"
    assert request.fields == {"method": "method=pool", "objective": "loss=2"}
    assert request.frame == {"method": "pool", "loss": "2"}


def test_a_long_frame_still_makes_a_direction() -> None:
    space = a_space([2] * 32)
    wide = space.model_copy(
        update={
            "dimensions": [one.model_copy(update={"name": f"{one.name}-{'x' * 50}"[:63]}) for one in space.dimensions]
        }
    )
    assert len(as_direction(wide, wide.default_frame).title) == 1024
