"""Errors in each dialect's own shape, whoever they come from, and what the official clients make of them."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from tests.operator.llm_proxy.test_streams import MESSAGES, RESPONSES, streamed
from tests.operator.llm_proxy.world import ASKED, Reply, World, answer, delta, error, play, stream

ANTHROPICS = ("/messages", "/messages/count_tokens")
PATHS = ("/chat/completions", "/responses", *ANTHROPICS)


def shaped(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The error in it, after a look at its shape."""
    error = body["error"]
    assert isinstance(error["message"], str)
    if path in ANTHROPICS:
        assert set(body) == {"type", "error"}
        assert body["type"] == "error"
        assert set(error) <= {"type", "message", "details"}
    else:
        assert set(body) == {"error"}
        assert set(error) == {"message", "type", "code", "param"}
    assert error["type"].endswith(("_error", "_quota"))
    return dict(error)


@pytest.mark.parametrize("path", PATHS)
def test_a_refusal_has_the_shape_of_its_dialect_and_says_whether_to_come_again(path: str) -> None:
    async def story(world: World) -> None:
        refused = await world.post(path, ASKED[path] | {"plugins": [1]})
        told = shaped(path, refused.json())
        assert (refused.status_code, told["type"]) == (400, "invalid_request_error")
        assert refused.headers["x-should-retry"] == "false"
        if path in ANTHROPICS:
            assert told["details"] == {"error_code": "malformed"}
        else:
            assert (told["code"], told["param"]) == ("malformed", "plugins")
        unknown = await world.post(path, ASKED[path], token="nobody")
        assert shaped(path, unknown.json())["type"] == "authentication_error"
        world.upstream.usual = error(503, "busy", retry_after="300")
        down = await world.post(path, ASKED[path])
        assert shaped(path, down.json())["type"] in ("server_error", "overloaded_error")
        assert (down.status_code, down.headers["retry-after"]) == (503, "300")
        assert "x-should-retry" not in down.headers
        world.upstream.usual = error(401, "bad key")
        refused = await world.post(path, ASKED[path])
        shaped(path, refused.json())
        assert (refused.status_code, refused.headers["x-should-retry"]) == (424, "false")

    play(story)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "reply",
    [
        answer(400, {"detail": "too long"}),
        answer(400, {"object": "error", "message": "too long", "type": "BadRequestError", "code": 400}),
        answer(400, {"error": "too long"}),
        answer(400, {"error": {"message": "too long", "type": "invalid_request_error", "code": None, "param": None}}),
        answer(422, {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}),
        answer(413, {"detail": [{"msg": "too long"}]}, content_type="text/plain"),
    ],
)
def test_an_error_of_the_provider_gets_the_shape_of_the_dialect(path: str, reply: Reply) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = reply
        response = await world.post(path, ASKED[path])
        assert response.status_code in (400, 413, 422)
        body = response.json()
        assert "too long" in body["error"]["message"]
        assert isinstance(body["error"]["type"], str)
        if path in ANTHROPICS:
            assert body["type"] == "error"

    play(story)


def test_openais_own_client_knows_each_refusal_and_repeats_none_that_would_be_refused_again() -> None:
    async def story(world: World) -> None:
        url = str(world.client.base_url)
        asked: Any = {"model": "small-1", "messages": [{"role": "user", "content": "x"}]}
        async with openai.AsyncOpenAI(base_url=url, api_key="s1", max_retries=2) as client:
            with pytest.raises(openai.BadRequestError) as caught:
                await client.chat.completions.create(**asked, extra_body={"plugins": ["x"]})
            assert (caught.value.code, caught.value.param) == ("malformed", "plugins")
            assert caught.value.type == "invalid_request_error"
            for refused in (error(401, "bad key"), answer(200, {"hello": 1})):
                world.upstream.usual = refused
                before = len(world.upstream.seen)
                with pytest.raises(openai.APIStatusError) as failed:
                    await client.chat.completions.create(**asked)
                assert failed.value.status_code == 424
                assert len(world.upstream.seen) - before == 1
            world.upstream.usual = stream(RESPONSES[0], reset=True)
            with pytest.raises(openai.APIError, match="broke off"):
                async for _ in await client.responses.create(model="small-1", input="x", stream=True):
                    pass

    play(story)


@pytest.mark.parametrize(
    ("path", "first"), [("/chat/completions", delta("a")), ("/responses", RESPONSES[0]), ("/messages", MESSAGES[0])]
)
def test_a_stream_that_breaks_off_ends_with_an_error_of_its_dialect(path: str, first: bytes) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = stream(first, reset=True)
        _, content = await streamed(world, path)
        name, _, data = content.removeprefix(first).decode().strip().rpartition("data: ")
        body = json.loads(data)
        assert "broke off" in body["error"]["message"]
        if path == "/chat/completions":
            assert shaped(path, body)["code"] == "provider_down"
        else:
            assert name == "event: error\n"
            assert body["type"] == "error"
        if path == "/messages":
            assert shaped(path, body)["type"] == "overloaded_error"
        if path == "/responses":
            assert {"code", "message", "param", "sequence_number"} <= set(body)

    play(story)
