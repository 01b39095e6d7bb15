"""What an endpoint can do wrong, and what a session makes of it. Waiting and failing cost no round."""

from __future__ import annotations

from typing import Any

import pytest
from tests.images.agent.llm.conftest import FILES, Clock, Live, serving
from tests.models.server import ModelServer

from rloop_agent.llm import session
from rloop_agent.testing import FakeGateway, a_context


def gateway(seconds: int = 1800) -> FakeGateway:
    session = a_context().session.model_copy(update={"session_seconds": seconds})
    return FakeGateway(a_context(session=session), dict(FILES))


def whole(live: Live, model: str, **around: Any) -> tuple[int, FakeGateway, Clock, Any]:
    clock, world = Clock(), gateway()
    lived = live(model, world, clock=clock, wait=clock.wait, **around)
    return lived.outcome.rounds, world, clock, lived


def test_what_passes_costs_no_round(live: Live) -> None:
    rounds = whole(live, "researcher")[0]
    for failure in ("rate-limitx2", "status-500x3", "unauthorizedx2", "resetx2", "invalid-jsonx2", "empty-choicesx4"):
        took, world, clock, lived = whole(live, f"researcher+{failure}")
        assert took == rounds, failure
        assert len(world.requests) == 5, failure
        assert clock.waits[0] >= 1, failure
        assert lived.events("waiting") or lived.events("no usable answer"), failure


def test_retry_after_is_kept(live: Live) -> None:
    _, _, clock, lived = whole(live, "researcher+rate-limitx1")
    assert clock.waits[0] == 1.0
    assert "Rate limit reached" in lived.events("waiting")[0]["message"]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("status-500", "No answer within 300 s: HTTP 500"),
        ("unauthorized", "the token was rejected"),
        ("reset", "5 consecutive responses were unusable"),
        ("invalid-json", "compatible with OpenAI's chat.completions"),
        ("not-a-model", "compatible with OpenAI's chat.completions"),
        ("empty-choices", "5 consecutive responses were unusable"),
        ("too-long", "does not fit into the model's window"),
        ("prompt-too-long", "does not fit into the model's window"),
        ("error-event", "5 consecutive responses were unusable"),
    ],
)
def test_what_does_not_pass_ends_in_order(live: Live, failure: str, words: str) -> None:
    rounds, world, clock, lived = whole(live, f"researcher+{failure}")
    assert rounds == 0
    assert world.handoff is not None
    assert words in world.handoff
    assert clock.now <= 300 + 2 * 60
    assert lived.events("ended")


def test_a_provider_that_stays_down_is_waited_for_until_the_time_is_over(live: Live) -> None:
    clock, world = Clock(), gateway(60)
    live("researcher+rate-limit", world, clock=clock, wait=clock.wait)
    assert clock.now == pytest.approx(0.97 * 60, abs=1)
    assert world.handoff is not None
    assert "time was used up. It had no answer at the end: HTTP 429" in world.handoff


def test_a_dripping_answer_meets_the_total_deadline(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CALL_SECONDS", 0.2)
    rounds, _, _, lived = whole(live, "early+drip@1")
    assert rounds == 2
    assert "no complete response within 0.2 s" in lived.events("no usable answer")[0]["message"]


def test_an_unknown_model_is_said_at_once(live: Live) -> None:
    _, world, clock, _ = whole(live, "gpt-nonsense")
    assert clock.waits == []
    assert world.handoff is not None
    assert "the model `gpt-nonsense` does not exist" in world.handoff


def test_missing_usage_is_estimated_and_another_model_noted(live: Live) -> None:
    _, world, _, lived = whole(live, "researcher+no-usage")
    assert len(world.requests) == 5
    assert all(line["usage"]["input"] == 0 for line in lived.lines if "usage" in line)
    _, world, _, lived = whole(live, "researcher+wrong-model@2")
    assert len(world.requests) == 5
    (noted,) = lived.events("another model answered")
    assert noted["answered"] == "another-model-9"


def test_too_long_in_mid_session_is_compacted_and_asked_again(live: Live) -> None:
    rounds, _, _, lived = whole(live, "never+too-long@9")
    assert rounds == 15
    assert lived.events("too long")
    assert lived.events("compacted")[0]["results"] > 0


def test_a_brief_that_does_not_fit_is_written_anew_with_less_room(live: Live) -> None:
    """An endpoint whose window nobody knows: the first request was refused, and the session over."""
    told = a_context()
    results = [
        told.incumbent.model_copy(update={"name": f"demo-i0001-e{n}", "title": "long " * 40}) for n in range(200)
    ]
    world = FakeGateway(told.model_copy(update={"results": results}), dict(FILES))
    clock = Clock()
    lived = live("early+small-window", world, clock=clock, wait=clock.wait)
    assert lived.events("too long")
    shorter = lived.events("shorter brief")
    assert shorter
    assert shorter[-1]["characters"] < shorter[0]["before"]
    assert world.handoff == "Nothing to do.", "it goes on"


def test_the_end_of_the_process_ends_a_call_that_hangs(live: Live) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 6

    lived = live("early+drip", gateway(), stop=stop)
    assert "asked to stop" in lived.outcome.handoff


def test_a_server_that_is_not_there_is_waited_for(live: Live) -> None:
    with serving(ModelServer()) as server:
        pass
    clock, world = Clock(), gateway()
    lived = live("researcher", world, server, clock=clock, wait=clock.wait)
    assert "cannot be reached" in lived.outcome.handoff


def test_the_wrong_key_is_said(live: Live) -> None:
    with serving(ModelServer(key="another")) as server:
        clock, world = Clock(), gateway()
        lived = live("researcher", world, server, clock=clock, wait=clock.wait)
    assert "Incorrect API key" in lived.outcome.handoff
