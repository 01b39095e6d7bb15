"""The direction gate: a new direction, or an old one in other words."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.builders import direction

from rloop.admit.direction import admit
from rloop.api.iteration import Direction
from rloop.api.space import Space
from rloop.api.wire import DirectionRequest
from rloop.errors import Refused

SPACE = Space.model_validate(
    {
        "file": "recipe.json",
        "dimensions": [
            {
                "name": "net",
                "key": "net",
                "values": ["mlp", "rnn"],
                "default": "mlp",
                "structural": True,
                "field": "method",
            },
            {"name": "rate", "key": "rate", "low": 0.0, "high": 1.0, "default": 0.5},
        ],
    }
)
OLD = {
    "hypothesis": "smaller learning rates remove the oscillation",
    "method": "anneal the learning rate with a cosine",
}
NEW = {"hypothesis": "opponents are too weak", "method": "sample opponents from a population of snapshots"}
LEFT = direction("demo-i0001-d1", title="Cosine annealing", fields=OLD)
NOW = direction("demo-i0002-d1", pivot=1, at=1, title="A population", fields=NEW)


def asked(title: str, fields: dict[str, str] | None = None, frame: dict[str, str] | None = None) -> DirectionRequest:
    return DirectionRequest.model_validate({"title": title, "fields": fields or {}, "frame": frame or {}})


@pytest.mark.parametrize(
    ("request_", "tried", "demanded", "refusal"),
    [
        pytest.param(asked("Cosine annealing", OLD), [], False, None, id="the first one passes"),
        pytest.param(asked("Nothing"), [], False, "FieldsMissing", id="without fields it says nothing"),
        pytest.param(asked("A", OLD, {"net": "mlp"}), [], False, "FrameInvalid", id="a frame needs a space"),
        pytest.param(asked("Cosine annealing", OLD), [LEFT], True, "NotNew", id="the same again is no pivot"),
        pytest.param(asked("A bold new idea", OLD), [LEFT], True, "NotNew", id="another title is no pivot"),
        pytest.param(
            asked(
                "Annealing cosine",
                {
                    "hypothesis": "the oscillation is removed by smaller learning rates",
                    "method": "with a cosine anneal the learning rate",
                },
            ),
            [LEFT],
            True,
            "NotNew",
            id="the same words in another order are no pivot",
        ),
        pytest.param(
            asked("Cosine annealing", {**OLD, "data": "the same data"}),
            [LEFT],
            True,
            "Rewording",
            id="a further field around the old idea is no pivot",
        ),
        pytest.param(asked("A population", NEW), [LEFT], True, None, id="another idea is one"),
        pytest.param(
            asked("Annealing with a cosine", OLD),
            [LEFT, NOW],
            False,
            "NotNew",
            id="back to the old idea after the pivot was answered",
        ),
        pytest.param(
            asked("A population, larger", NEW), [LEFT, NOW], False, None, id="the present idea may be worded anew"
        ),
    ],
)
def test_in_words(request_: DirectionRequest, tried: list[Direction], demanded: bool, refusal: str | None) -> None:
    if refusal is None:
        assert admit(request_, space=None, tried=tried, pivot_demanded=demanded) is None
        return
    with pytest.raises(Refused) as caught:
        admit(request_, space=None, tried=tried, pivot_demanded=demanded)
    assert caught.value.reason == refusal


def test_one_field_is_enough_and_no_more_is_asked_for() -> None:
    with pytest.raises(Refused, match="at least one of hypothesis, method, data, representation, objective"):
        admit(asked("Nothing"), space=None, tried=[], pivot_demanded=False)
    assert admit(asked("A", {"method": "anneal"}), space=None, tried=[], pivot_demanded=False) is None


MLP = direction("demo-i0001-d1", frame={"net": "mlp"})


@pytest.mark.parametrize(
    ("frame", "demanded", "expected"),
    [
        pytest.param({"net": "rnn"}, True, None, id="an untried frame is a pivot, whatever the words"),
        pytest.param({"net": "mlp"}, True, "NotNew", id="a tried frame is none, whatever the words"),
        pytest.param({"net": "mlp"}, False, MLP, id="without a demand the same frame is the same direction"),
        pytest.param({"net": "cnn"}, False, "FrameInvalid", id="a value that is not in the space"),
        pytest.param({}, False, "FrameInvalid", id="a missing dimension"),
        pytest.param({"net": "rnn", "rate": "0.5"}, False, "FrameInvalid", id="a dimension that is not structural"),
    ],
)
def test_in_frames(frame: dict[str, str], demanded: bool, expected: Any) -> None:
    request_ = asked("Brilliant and never seen before", NEW, frame)
    if not isinstance(expected, str):
        assert admit(request_, space=SPACE, tried=[MLP], pivot_demanded=demanded) == expected
        return
    with pytest.raises(Refused) as caught:
        admit(request_, space=SPACE, tried=[MLP], pivot_demanded=demanded)
    assert caught.value.reason == expected


RNN = direction("demo-i0002-d1", pivot=1, at=1, frame={"net": "rnn"})


def test_when_every_frame_was_tried_an_old_one_may_be_taken_again() -> None:
    """Else the demand to pivot could never be met, and the campaign would idle with its budget unspent."""
    back = asked("Back to the first", frame={"net": "mlp"})
    assert admit(back, space=SPACE, tried=[MLP, RNN], pivot_demanded=True) is None
    with pytest.raises(Refused, match="except the current one"):
        admit(asked("Stay", frame={"net": "rnn"}), space=SPACE, tried=[MLP, RNN], pivot_demanded=True)
    with pytest.raises(Refused, match="NotNew"):
        admit(back, space=SPACE, tried=[MLP], pivot_demanded=True)
