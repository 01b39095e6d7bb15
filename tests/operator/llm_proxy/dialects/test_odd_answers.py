"""Answers that are none, and the facts of them by which the campaign knows why a session got nowhere."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from tests.operator.llm_proxy.world import (
    ASKED,
    CHAT,
    DONE,
    ITERATION,
    STREAM,
    USAGE_EVENT,
    Reply,
    World,
    answer,
    chat,
    delta,
    event,
    hang,
    play,
    reserved,
    stream,
    until,
)

from rloop.api.iteration import ResearchIteration
from rloop.api.reading.model_errors import context_too_long
from rloop_operator.llm_proxy.accounting import caps, reservations

SESSION = f"{ITERATION}-s1"
ROLE = event({"id": "c1", "model": "small-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
STOP = event({"id": "c1", "model": "small-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
OPENAI_LONG = {
    "error": {
        "message": "This model's maximum context length is 8192 tokens; your messages have 9001.",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "context_length_exceeded",
    }
}
ANTHROPIC_LONG = {
    "type": "error",
    "error": {"type": "invalid_request_error", "message": "prompt is too long: 213462 tokens > 200000 maximum"},
}


def named(name: str, body: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name} | body)}\n\n".encode()


OVERLOADED = named("error", {"error": {"type": "overloaded_error", "message": "Overloaded"}})
START = named("message_start", {"message": {"model": "small-1", "usage": {"input_tokens": 60, "output_tokens": 1}}})


async def streamed(world: World, path: str = "/chat/completions") -> tuple[int, bytes]:
    headers = {"authorization": "Bearer s1"}
    request = ASKED[path] | {"stream": True} if path == "/responses" else STREAM
    async with world.client.stream("POST", path, json=request, headers=headers) as response:
        return response.status_code, await response.aread()


@pytest.mark.parametrize(
    ("path", "first"),
    [
        ("/chat/completions", event({"error": {"message": "upstream is busy", "type": "server_error", "code": 502}})),
        ("/messages", OVERLOADED),
        ("/responses", named("error", {"code": "server_error", "message": "upstream is busy"})),
        ("/responses", named("response.failed", {"response": {"error": {"code": "server_error", "message": "no"}}})),
    ],
)
def test_a_stream_that_begins_with_an_error_is_tried_again_and_costs_nothing(path: str, first: bytes) -> None:
    """Ten such calls took 100,000 tokens of a budget for no answer."""

    async def story(world: World) -> None:
        for _ in range(200):
            world.upstream.replies.append(stream(first))
        status, content = await streamed(world, path)
        error = json.loads(content)["error"]
        code = error["details"]["error_code"] if path == "/messages" else error["code"]
        assert (status, code) == (503, "provider_down")
        assert len(world.upstream.seen) > 1
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens, usage.waiting) == (0, 0, "ProviderDown")

    play(story, retry={"totalSeconds": 1, "idleSeconds": 5})


@pytest.mark.parametrize(
    ("path", "events", "charged"),
    [
        pytest.param("/chat/completions", [ROLE, event({"error": {"message": "oops"}}), DONE], 0, id="before a word"),
        pytest.param("/messages", [START, OVERLOADED], 0, id="before a word of Anthropic's"),
        pytest.param(
            "/chat/completions",
            [delta("a"), event({"error": {"message": "oops"}}), USAGE_EVENT],
            120,
            id="in the middle, counted",
        ),
        pytest.param(
            "/chat/completions",
            [delta("a"), event({"error": {"message": "oops"}})],
            reserved(STREAM),
            id="in the middle, not counted: nobody knows what was billed",
        ),
    ],
)
def test_an_error_inside_a_stream_is_no_answer(path: str, events: list[bytes], charged: int) -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(*events))
        status, content = await streamed(world, path)
        assert status == 200
        assert b"oops" in content or b"Overloaded" in content
        usage = await world.settled()
        assert usage.input_tokens + usage.output_tokens == charged
        assert usage.failure is not None
        assert usage.failure.reason == "StreamBroken"
        assert "oops" in usage.failure.message or "Overloaded" in usage.failure.message
        assert world.records[-1].code == "error"

    play(story)


EMPTY_MESSAGE = {"role": "assistant", "content": None}


@pytest.mark.parametrize(
    ("reply", "path", "charged"),
    [
        pytest.param(answer(body=chat() | {"choices": []}), "/chat/completions", 120, id="no choices"),
        pytest.param(answer(body=chat(tokens=None) | {"choices": []}), "/chat/completions", 0, id="nor a count"),
        pytest.param(
            answer(body=chat() | {"choices": [{"message": EMPTY_MESSAGE, "finish_reason": "stop"}]}),
            "/chat/completions",
            120,
            id="null",
        ),
        pytest.param(
            answer(body={"type": "message", "content": [], "usage": {"input_tokens": 3, "output_tokens": 1}}),
            "/messages",
            4,
            id="Anthropic's",
        ),
    ],
)
def test_an_answer_without_content_is_told(reply: Reply, path: str, charged: int) -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(reply)
        assert (await world.post(path, CHAT)).status_code == 200
        usage = await world.settled()
        assert usage.failure is not None
        assert usage.failure.reason == "AnswerEmpty"
        assert usage.input_tokens + usage.output_tokens == charged
        await world.chat()
        assert (await world.settled()).failure is None, "the next one was answered"

    play(story)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        pytest.param([ROLE, STOP, USAGE_EVENT, DONE], "AnswerEmpty", id="an empty stream"),
        pytest.param([delta("a")], "StreamBroken", id="a stream that ends in the middle as if it were whole"),
        pytest.param([delta("a"), STOP], None, id="one without a last line is whole all the same"),
        pytest.param([delta("a"), STOP, USAGE_EVENT, DONE], None, id="a good one"),
    ],
)
def test_streams_that_end_as_if_they_were_whole(events: list[bytes], reason: str | None) -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(*events))
        await streamed(world)
        found = (await world.settled()).failure
        assert (found and found.reason) == reason

    play(story)


def test_a_stream_that_breaks_off_is_told() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(delta("a"), reset=True))
        await streamed(world)
        found = (await world.settled()).failure
        assert found is not None
        assert found.reason == "StreamBroken"

    play(story)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, OPENAI_LONG, "ContextTooLong"),
        (400, ANTHROPIC_LONG, "ContextTooLong"),
        (
            400,
            {
                "error": {
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            },
            "ContextTooLong",
        ),
        (400, {"error": {"message": "messages.3: unexpected role", "type": "invalid_request_error"}}, "RequestRefused"),
        (422, {"detail": "tools: not supported"}, "RequestRefused"),
    ],
)
@pytest.mark.parametrize("inside", [False, True])
def test_a_request_that_the_provider_refuses(status: int, body: dict[str, Any], reason: str, inside: bool) -> None:
    async def story(world: World) -> None:
        if inside and "error" in body:
            world.upstream.replies.append(stream(event(body)))
            assert (await streamed(world))[0] == 200
        else:
            world.upstream.replies.append(answer(status, body))
            assert (await world.chat()).status_code == status
        assert len(world.upstream.seen) == 1, "it would be refused again"
        usage = await world.settled()
        assert usage.failure is not None
        assert usage.failure.reason == reason
        said = body.get("error", {}).get("message") or body["detail"]
        assert said in usage.failure.message
        assert usage.input_tokens + usage.output_tokens == 0

    play(story)


def test_a_spent_allowance_is_told() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(body=chat(tokens=(90, 0, 20)))
        assert (await world.chat()).status_code == 200
        assert (await world.chat()).status_code == 403
        found = (await world.settled()).failure
        assert found is not None
        assert found.reason == "AllowanceSpent"

    play(story, max_tokens=120)


async def finish(world: World) -> None:
    iteration = await world.store.get(ResearchIteration, ITERATION)
    reported = iteration.status.reported.model_copy(update={"finished": [SESSION]})
    await world.edit(ResearchIteration, ITERATION, reported=reported)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json().get("error", {}).get("code", "")


def test_the_farewell_of_a_session_that_called_finish_is_answered_for_some_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each client asks its model once more after finish: Claude Code retried the refusal for three minutes."""

    async def story(world: World) -> None:
        await finish(world)
        for _ in range(reservations.FAREWELL_CALLS):
            assert (await world.chat(max_tokens=100_000)).status_code == 200
        assert {one.body["max_tokens"] for one in world.upstream.seen} == {caps.FAREWELL_OUTPUT}
        assert code(await world.chat()) == (403, "closed")
        assert (await world.settled()).calls == reservations.FAREWELL_CALLS, "it is charged as any call"
        assert (await world.chat("s2")).status_code == 200

    models = [{"name": "small-1", "contextTokens": 1_000_000, "maxOutputTokens": 200_000}]
    play(story, models=models, max_tokens=1_000_000)


def test_and_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations, "FAREWELL_SECONDS", 0.05)

    async def story(world: World) -> None:
        await finish(world)
        assert (await world.chat()).status_code == 200
        await asyncio.sleep(0.1)
        assert code(await world.chat()) == (403, "closed")

    play(story)


def test_a_farewell_stays_within_the_allowance_and_says_nothing_of_the_session() -> None:
    async def story(world: World) -> None:
        await finish(world)
        assert code(await world.chat()) == (403, "session_spent")
        world.upstream.replies.append(answer(400, OPENAI_LONG))
        usage = await world.settled()
        assert usage.failure is None
        assert usage.waiting is None

    play(
        story, max_tokens=10, spec={"agent__llm": {"provider": "main", "model": "small-1", "maxTokensPerSession": 1000}}
    )


def test_calls_and_waiting_for_an_answer_are_signs_of_life() -> None:
    async def story(world: World) -> None:
        await world.chat()
        first = (await world.settled()).signs
        assert first > 0
        assert (await world.settled()).signs == first, "a session that does nothing shows none"
        world.upstream.replies.append(hang())
        asking = asyncio.create_task(world.chat())
        await until(lambda: len(world.upstream.seen) == 2)
        before = (await world.settled()).signs
        assert (await world.settled()).signs > before > first
        asking.cancel()

    play(story)


@pytest.mark.parametrize(
    ("sentence", "long"),
    [
        ("This model's maximum context length is 4096 tokens.", True),
        ("prompt is too long: 213462 tokens > 200000 maximum", True),
        ("input length and `max_tokens` exceed context limit: 199000 + 4096 > 200000", True),
        ("the request exceeds the available context size. try increasing the context size", True),
        ("The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).", True),
        ("Incorrect API key provided", False),
        ("context: unknown field", False),
        ("max_tokens is too large: 99999", False),
    ],
)
def test_which_sentences_mean_that_a_context_is_too_long(sentence: str, long: bool) -> None:
    assert context_too_long("", sentence) is long
