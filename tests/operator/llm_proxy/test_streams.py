"""Streams: passed on byte for byte while they come, counted, and ended so that nobody takes a part for the whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from tests.operator.llm_proxy.world import (
    ASKED,
    DONE,
    STREAM,
    STREAM_HEAD,
    USAGE_EVENT,
    Exchange,
    World,
    answer,
    chat,
    chunk,
    delta,
    error,
    event,
    hang,
    play,
    reserved,
    stream,
    until,
)

RESERVED = reserved(STREAM)
EVENTS = (delta("hel"), delta("lo"), event({"choices": [], "usage": None}), USAGE_EVENT, DONE)


async def streamed(world: World, path: str = "/chat/completions", **fields: Any) -> tuple[httpx.Response, bytes]:
    body = (STREAM if path == "/chat/completions" else ASKED[path] | {"stream": True}) | fields
    headers = {"authorization": "Bearer s1"}
    async with world.client.stream("POST", path, json=body, headers=headers) as response:
        return response, await response.aread()


def test_a_stream_passes_byte_for_byte_where_the_client_asked_for_its_usage() -> None:
    async def story(world: World) -> None:
        events = [b": a comment\n\n", *EVENTS]
        world.upstream.replies.append(stream(*events))
        response, content = await streamed(world, stream_options={"include_usage": True})
        assert (response.status_code, content) == (200, b"".join(events))
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-rloop-model"] == "small-1"
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1, 100, 40, 20)

    play(story)


def test_a_client_that_did_not_ask_for_usage_does_not_see_it() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(*EVENTS))
        _, content = await streamed(world)
        assert content == b"".join(one for one in EVENTS if one is not USAGE_EVENT)
        assert world.upstream.seen[0].body["stream_options"] == {"include_usage": True}
        assert (await world.settled()).input_tokens == 100

    play(story)


def test_usage_in_an_event_that_also_says_something_is_passed_on() -> None:
    async def story(world: World) -> None:
        last = event(chat() | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        world.upstream.replies.append(stream(delta("a"), last, DONE))
        _, content = await streamed(world)
        assert content == delta("a") + last + DONE
        assert (await world.settled()).input_tokens == 100

    play(story)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\n\r\n", b"\r\n\n"])
def test_events_may_come_in_any_pieces(size: int, end: bytes) -> None:
    async def story(world: World) -> None:
        content = b"".join(EVENTS).replace(b"\n\n", end)
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
        world.upstream.replies.append(stream(*pieces))
        _, got = await streamed(world, stream_options={"include_usage": True})
        assert got == content
        assert (await world.settled()).input_tokens == 100

    play(story)


def test_the_first_event_does_not_wait_for_the_last() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(hang(STREAM_HEAD + chunk(delta("first"))))
        body = {"model": "small-1", "messages": [], "stream": True}
        headers = {"authorization": "Bearer s1"}
        async with world.client.stream("POST", "/chat/completions", json=body, headers=headers) as response:
            assert await anext(response.aiter_bytes()) == delta("first")
        # And the client that leaves takes its stream with it.
        await asyncio.wait_for(world.upstream.gone.wait(), 10)
        await until(lambda: world.records)
        usage = await world.settled()
        assert (world.records[0].code, usage.calls) == ("gone", 1)
        assert usage.output_tokens == 1000

    play(story)


def test_a_client_that_leaves_is_charged_for_every_piece_at_least() -> None:
    """A provider that sets no limit of its own sends more than was set aside."""

    async def story(world: World) -> None:
        world.upstream.replies.append(hang(STREAM_HEAD + chunk(delta("x") * 3000)))
        body = {"model": "small-1", "messages": [], "stream": True}
        headers = {"authorization": "Bearer s1"}
        async with world.client.stream("POST", "/chat/completions", json=body, headers=headers) as response:
            pieces, got = response.aiter_bytes(), 0
            while got < 3000:
                got += (await anext(pieces)).count(b"data:")
        await until(lambda: world.records)
        assert (await world.settled()).output_tokens >= 2900

    play(story)


def test_a_null_in_what_the_provider_repeats_hides_no_count() -> None:
    async def story(world: World) -> None:
        tools = [{"type": "function", "name": "f", "parameters": {"usage": None}}]
        usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
        done = {"type": "response.completed", "response": {"tools": tools, "usage": usage, "model": "small-1"}}
        first = {"type": "response.output_text.delta", "delta": "a"}
        world.upstream.replies.append(stream(event(first), event(done)))
        await streamed(world, "/responses")
        taken = await world.settled()
        assert (taken.input_tokens, taken.output_tokens) == (100, 20)

    play(story)


def test_a_stream_that_breaks_before_its_first_event_is_asked_for_again() -> None:
    async def story(world: World) -> None:
        world.upstream.replies += [error(500), stream(b": wait\n\n", reset=True), stream(*EVENTS)]
        response, content = await streamed(world)
        assert (response.status_code, content[: len(EVENTS[0])]) == (200, EVENTS[0])
        assert len(world.upstream.seen) == 3
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens) == (2, RESERVED + 120)

    play(story)


def test_a_stream_that_breaks_later_ends_with_an_error_and_is_never_repeated() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(delta("hel"), delta("lo"), reset=True))
        response, content = await streamed(world)
        assert response.status_code == 200
        assert content.startswith(delta("hel") + delta("lo"))
        last = json.loads(content.removeprefix(delta("hel") + delta("lo")).removeprefix(b"data: "))
        assert last["error"]["code"] == "provider_down"
        assert len(world.upstream.seen) == 1
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens) == (1, RESERVED)
        assert world.records[0].code == "broken"

    play(story)


def test_openais_own_client_reads_a_stream_and_notices_a_broken_one() -> None:
    async def story(world: World) -> None:
        async with openai.AsyncOpenAI(base_url=str(world.client.base_url), api_key="s1", max_retries=0) as client:

            async def told() -> str:
                parts = await client.chat.completions.create(
                    model="small-1", messages=[{"role": "user", "content": "x"}], stream=True
                )
                return "".join([part.choices[0].delta.content or "" async for part in parts])

            world.upstream.replies.append(stream(delta("hel"), delta("lo"), USAGE_EVENT, DONE))
            assert await told() == "hello"
            world.upstream.replies.append(stream(delta("hel"), reset=True))
            with pytest.raises(openai.APIError, match="broke off"):
                await told()

    play(story)


@pytest.mark.parametrize("drip", [b"x", chunk(b": still here\n\n")])
def test_a_stream_that_says_nothing_is_cut_off_whatever_it_sends(drip: bytes) -> None:
    """One byte now and then, or comments, hold no connection open."""

    async def story(world: World) -> None:
        async def dripping(exchange: Exchange) -> None:
            await exchange.send(STREAM_HEAD, chunk(delta("a")))
            while True:
                await exchange.send(drip if drip.startswith(b"f") else chunk(drip))
                await asyncio.sleep(0.2)

        world.upstream.usual = dripping
        _, content = await streamed(world)
        assert b"no data for too long" in content
        assert world.records[0].code == "broken"

    play(story, retry={"totalSeconds": 20, "idleSeconds": 1})


def test_a_stream_that_never_ends_is_ended_when_its_time_is_up() -> None:
    async def story(world: World) -> None:
        async def endless(exchange: Exchange) -> None:
            await exchange.send(STREAM_HEAD)
            while True:
                await exchange.send(chunk(delta("a")))
                await asyncio.sleep(0.05)

        world.upstream.usual = endless
        _, content = await streamed(world)
        assert b'"provider_down"' in content
        assert content.count(delta("a")) > 2

    play(story, retry={"totalSeconds": 1})


def test_an_endpoint_that_does_not_stream_is_said_so() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(body=chat())
        response, content = await streamed(world)
        assert (response.status_code, json.loads(content)["error"]["code"]) == (424, "provider_malformed")

    play(story)


def test_a_stream_without_usage_is_charged_as_it_was_estimated() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(delta("a"), DONE))
        await streamed(world)
        usage = await world.settled()
        assert usage.input_tokens + usage.output_tokens == RESERVED

    play(story)


def named(name: str, body: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name} | body)}\n\n".encode()


MESSAGES = (
    named("message_start", {"message": {"model": "small-1", "usage": {"input_tokens": 60, "output_tokens": 1}}}),
    named("content_block_delta", {"delta": {"type": "text_delta", "text": "hi"}}),
    named("message_delta", {"usage": {"output_tokens": 20}}),
    named("message_stop", {}),
)
RESPONSES = (
    named("response.output_text.delta", {"delta": "hi"}),
    named("response.completed", {"response": {"usage": {"input_tokens": 60, "output_tokens": 20}}}),
)


@pytest.mark.parametrize(("path", "events"), [("/messages", MESSAGES), ("/responses", RESPONSES)])
def test_the_other_ways_of_speaking_stream_and_are_counted(path: str, events: tuple[bytes, ...]) -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(stream(*events))
        _, content = await streamed(world, path)
        assert content == b"".join(events)
        assert "stream_options" not in world.upstream.seen[0].body
        usage = await world.settled()
        assert (usage.input_tokens, usage.output_tokens) == (60, 20)
        # Cut off before its last event, what is known is only half of it.
        world.upstream.replies.append(stream(*events[:1]))
        _, content = await streamed(world, path)
        usage = await world.settled()
        assert usage.input_tokens + usage.output_tokens > 80 + 60

    play(story)
