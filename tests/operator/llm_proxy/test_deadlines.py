"""How long a provider is waited for: until its first token, between two pieces of an answer, and in all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.operator.llm_proxy.test_streams import MESSAGES, RESPONSES, named, streamed
from tests.operator.llm_proxy.world import (
    DONE,
    STREAM_HEAD,
    USAGE_EVENT,
    Exchange,
    World,
    chat,
    chunk,
    delta,
    event,
    hang,
    play,
)

SLOW_SECONDS = 1.3
PATIENT: dict[str, Any] = {"totalSeconds": 20, "firstTokenSeconds": 10, "idleSeconds": 1}
ROLE = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
CREATED = named("response.created", {"response": {"status": "in_progress"}})
STARTED = (named("message_start", {"message": {"model": "small-1"}}), named("ping", {}))


@pytest.mark.parametrize(
    ("path", "early", "late"),
    [
        pytest.param("/chat/completions", (), (delta("a"), USAGE_EVENT, DONE), id="headers only"),
        pytest.param("/chat/completions", (b": wait\n\n",), (delta("a"), USAGE_EVENT, DONE), id="a comment"),
        pytest.param("/chat/completions", (ROLE,), (delta("a"), USAGE_EVENT, DONE), id="a role"),
        pytest.param("/responses", (CREATED,), RESPONSES, id="responses"),
        pytest.param("/messages", STARTED, MESSAGES[1:], id="messages"),
    ],
)
def test_a_model_that_reads_a_long_prompt_has_more_time_than_between_two_tokens(
    path: str, early: tuple[bytes, ...], late: tuple[bytes, ...]
) -> None:
    async def story(world: World) -> None:
        async def slow(exchange: Exchange) -> None:
            await exchange.send(STREAM_HEAD, *(chunk(one) for one in early))
            await asyncio.sleep(SLOW_SECONDS)
            await exchange.send(*(chunk(one) for one in late), b"0\r\n\r\n")

        world.upstream.usual = slow
        response, content = await streamed(world, path)
        assert response.status_code == 200
        assert b"error" not in content
        assert len(world.upstream.seen) == 1
        assert world.records[0].code == "answered"

    play(story, retry=PATIENT)


@pytest.mark.parametrize("first", [b"", STREAM_HEAD, STREAM_HEAD + chunk(b": wait\n\n")])
def test_a_model_that_never_begins_is_noticed(first: bytes) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = hang(first)
        response, content = await streamed(world)
        assert response.status_code == 503
        assert "no token within 1 s (retry.firstTokenSeconds)" in json.loads(content)["error"]["message"]

    play(story, retry={"totalSeconds": 20, "firstTokenSeconds": 1, "idleSeconds": 10})


def test_an_answer_that_is_no_stream_has_all_the_time_of_its_call() -> None:
    async def story(world: World) -> None:
        async def slow(exchange: Exchange) -> None:
            content = json.dumps(chat()).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
            await exchange.send(head.encode())
            await asyncio.sleep(SLOW_SECONDS)
            await exchange.send(content)

        world.upstream.usual = slow
        assert (await world.chat()).status_code == 200

    play(story, retry=PATIENT | {"firstTokenSeconds": 1})
