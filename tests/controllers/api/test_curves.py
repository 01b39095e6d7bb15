"""Curves of a run: few points of what it reported, whatever it wrote."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.api.curves import MAX_CURVES, MAX_POINTS, Curves
from rloop.api.helpers import curves_of, joined


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


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(
            "loss reward reward_std frac_reward_zero_std kl entropy grad_norm learning_rate",
            "reward loss kl entropy reward_std frac_reward_zero_std",
            id="those of our own trainer",
        ),
        pytest.param(
            "loss grad_norm learning_rate num_tokens completions mean_length reward kl entropy",
            "reward loss kl entropy completions mean_length",
            id="those that a library orders in its own way",
        ),
        pytest.param("b a c", "b a c", id="unknown ones in the order of the file"),
        pytest.param("lr epoch a eval_accuracy val.loss Loss", "eval_accuracy Loss val.loss a lr epoch", id="words"),
    ],
)
def test_what_tells_most_is_shown(names: str, expected: str) -> None:
    assert list(fed(json.dumps({"step": 1} | dict.fromkeys(names.split(), 1.0)).encode() + b"\n")) == expected.split()


def test_a_number_that_comes_late_is_shown_all_the_same() -> None:
    early = json.dumps({"step": 1} | {f"m{n}": 1.0 for n in range(10)}).encode()
    assert fed(early + b'\n{"step": 2, "reward": 0.5}\n')["reward"] == [(2, 0.5)]


@pytest.mark.parametrize(
    ("earlier", "later", "steps"),
    [
        pytest.param([1, 2, 3], [3, 4], [1, 2, 3, 4], id="a step that comes twice is the later attempt's"),
        pytest.param([1, 2, 3, 4], [3], [1, 2, 3], id="so is what it has not come to again"),
        pytest.param([1, 2], [1, 2, 3], [1, 2, 3], id="one that began anew stands alone"),
        pytest.param([1, 2], [], [1, 2], id="one that said nothing takes nothing away"),
        pytest.param([], [1], [1], id="the first"),
    ],
)
def test_attempts_make_one_curve(earlier: list[int], later: list[int], steps: list[int]) -> None:
    before, after = (
        curves_of({"loss": [(n, v) for n in of]} if of else {}) for of, v in ((earlier, 1.0), (later, 2.0))
    )
    (found,) = joined(before, after)
    assert found.steps == steps
    assert found.values == [2.0 if later and n >= later[0] else 1.0 for n in steps]


@given(st.lists(st.integers(0, 200), unique=True), st.lists(st.integers(0, 200), unique=True))
def test_a_joined_curve_is_a_curve(earlier: list[int], later: list[int]) -> None:
    before, after = (
        curves_of({"a": [(n, 0.5) for n in sorted(of)[:MAX_POINTS]]} if of else {}) for of in (earlier, later)
    )
    for curve in joined(before, after):
        assert len(curve.steps) == len(curve.values) <= MAX_POINTS
        assert curve.steps == sorted(set(curve.steps))
        assert set(curve.steps) <= {*earlier, *later}


def test_there_are_not_too_many_and_each_can_be_told() -> None:
    many = json.dumps({"step": 2**53 - 1, **{f"m{n}": 1e150 for n in range(20)}}).encode() + b"\n"
    curves = curves_of(fed(many))
    assert [one.metric for one in curves] == [f"m{n}" for n in range(MAX_CURVES)]


def test_a_number_that_cannot_be_computed_with_is_named_with_its_first_step() -> None:
    curves = Curves()
    curves.feed(b'{"step": 1, "loss": 1.0, "kl": 1e200}\n{"step": 2, "loss": NaN}\n{"step": 3, "loss": -Infinity}\n')
    assert curves.unusable == {"kl": 1, "loss": 2}
    assert curves.points() == {"loss": [(1, 1.0)]}
