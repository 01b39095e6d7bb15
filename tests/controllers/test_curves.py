"""Curves of a run: few points of what it reported, whatever it wrote."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.curves import MAX_CURVES, MAX_POINTS, Curves
from rloop.api.helpers import curves_of


def fed(*chunks: bytes) -> dict[str, list[tuple[int, float]]]:
    curves = Curves()
    for chunk in chunks:
        curves.feed(chunk)
    return curves.points()


def lines(count: int) -> bytes:
    return b"".join(json.dumps({"step": n, "loss": 1 / (1 + n)}).encode() + b"\n" for n in range(count))


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 129, 1000, 12_345])
def test_the_first_and_the_newest_point_are_kept_and_the_others_lie_evenly(count: int) -> None:
    points = fed(lines(count))["loss"]
    assert len(points) == min(count, MAX_POINTS)
    steps = [step for step, _ in points]
    assert (steps[0], steps[-1]) == (0, count - 1)
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert not gaps or max(gaps) <= 2 * (count / MAX_POINTS) + 1
    assert all(value == pytest.approx(1 / (1 + step), rel=1e-4) for step, value in points)


@given(st.integers(1, 500), st.lists(st.integers(0, 9000), max_size=8))
def test_pieces_say_the_same_as_the_whole(count: int, cuts: list[int]) -> None:
    content = lines(count)
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[a:b] for a, b in pairwise(places)]
    assert fed(*pieces) == fed(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b'{"step": 1, "loss": 0.5}', {}, id="a line that is being written"),
        pytest.param(b'rubbish\n[1]\n{"loss": 1}\n{"step": true, "loss": 1}\n\xff\n', {}, id="no step"),
        pytest.param(b'{"step": 1, "loss": NaN, "a": "1", "b": true, "c d": 1, "e": 2}\n', {"e": [(1, 2.0)]}, id="odd"),
        pytest.param(b'{"step": 1, "a": ' + b"9" * 400 + b"}\n", {}, id="too large a number"),
        pytest.param(b'{"step": 1, "a": 1, "t": "' + b"x" * 9000 + b'"}\n', {}, id="too long a line"),
        pytest.param(b"x" * 50_000 + b'\n{"step": 1, "a": 1}\n', {"a": [(1, 1.0)]}, id="after one without end"),
        pytest.param(b"[" * 5000 + b"\n", {}, id="nesting"),
    ],
)
def test_what_is_not_understood_is_passed_over(content: bytes, expected: dict[str, list[tuple[int, float]]]) -> None:
    assert fed(content) == expected
    assert fed(*(content[n : n + 1000] for n in range(0, len(content), 1000))) == expected


def test_there_are_not_too_many_and_each_can_be_told() -> None:
    many = json.dumps({"step": 2**53 - 1, **{f"m{n}": 1e300 for n in range(20)}}).encode() + b"\n"
    curves = curves_of(fed(many))
    assert [one.metric for one in curves] == [f"m{n}" for n in range(MAX_CURVES)]
