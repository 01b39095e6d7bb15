"""What an agent, a provider or bad luck may do to get past the caps, out of the network, or around the accounts."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from tests.operator.llm_proxy.world import (
    ASKED,
    CHAT,
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
    play,
    until,
)
from typing_extensions import override

from rloop.errors import RloopError
from rloop_operator.sim.store import MemoryStore

UNLIMITED: dict[str, Any] = {"models": [{"name": "small-1"}]}
PROMPT = [{"role": "user", "content": "x" * 30_000}]


def test_answers_of_any_length_pass_a_budget_by_one_call_at_most() -> None:
    """Nobody limits them: neither the agent nor the provider's configuration."""

    async def story(world: World) -> None:
        world.upstream.usual = answer(body=chat(tokens=(100, 0, 40_000)))
        tokens = ("s1", "s2") * 3
        replies = await asyncio.gather(*(world.chat(token, max_tokens=None) for token in tokens))
        assert {one.status_code for one in replies} == {200, 403}
        usages = [await world.settled(token) for token in ("s1", "s2")]
        spent = sum(one.input_tokens + one.output_tokens for one in usages)
        assert spent - 40_100 < 60_000

    play(story, max_tokens=60_000, spec={"budget__tokens": 60_000}, **UNLIMITED)


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/chat/completions", {"n": 5.0}, "n must be a whole number"),
        ("/chat/completions", {"max_tokens": "9"}, "max_tokens must be a whole number"),
        ("/chat/completions", {"max_tokens": 10**30}, "max_tokens must be a whole number between 0 and 10000000"),
        ("/chat/completions", {"max_tokens": -1}, "max_tokens must be a whole number between 0"),
        ("/chat/completions", {"stream": 1}, "stream must be true or false"),
        (
            "/responses",
            {"previous_response_id": "r1"},
            "previous_response_id is rejected: the client must keep the history",
        ),
        ("/responses", {"background": True}, "background is rejected"),
        ("/messages", {"mcp_servers": [{"url": "https://x.example"}]}, "mcp_servers is rejected"),
        ("/chat/completions", {"web_search_options": {"a": 1}}, "web_search_options is rejected"),
        ("/chat/completions", {"service_tier": "priority"}, 'service_tier "priority" is rejected'),
        ("/messages", {"speed": "fast"}, 'speed "fast" is rejected'),
        ("/messages", {"inference_geo": "us"}, 'inference_geo "us" is rejected'),
        ("/chat/completions", {"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_no_cap_could_bound_and_no_network_hold_is_refused(path: str, fields: dict[str, Any], said: str) -> None:
    async def story(world: World) -> None:
        refused = await world.post(path, ASKED[path] | fields)
        assert refused.status_code == 400
        assert said in refused.json()["error"]["message"]
        assert not world.upstream.seen

    play(story)


OWN: dict[str, dict[str, Any]] = {
    "/chat/completions": {"type": "function", "function": {"name": "f"}},
    "/responses": {"type": "function", "name": "f"},
    "/messages": {"name": "f", "input_schema": {}},
}


@pytest.mark.parametrize(
    ("path", "tool", "told"),
    [
        ("/responses", {"type": "web_search"}, "tools[].web_search"),
        ("/responses", {"type": "web_search_preview_2025_03_11"}, "tools[].web_search_preview_2025_03_11"),
        ("/responses", {"type": "mcp", "server_url": "https://x.example"}, "tools[].mcp"),
        ("/responses", {"type": "code_interpreter", "container": {"type": "auto"}}, "tools[].code_interpreter"),
        ("/responses", {"type": "functional"}, "tools[].functional"),
        ("/messages", {"type": "code_execution_20250825", "name": "c"}, "tools[].code_execution_20250825"),
        ("/messages", {"type": "web_fetch_20250910", "name": "w"}, "tools[].web_fetch_20250910"),
        ("/messages", {"type": "memory_of_the_provider", "name": "m"}, "tools[].memory_of_the_provider"),
        ("/chat/completions", {"type": "web_search"}, "tools[].web_search"),
        ("/chat/completions", {"type": "ends in a space "}, "tools[].ends in a space"),
    ],
)
def test_a_tool_that_runs_at_the_provider_is_left_out_and_named(path: str, tool: dict[str, Any], told: str) -> None:
    """The agent works on without it, and neither a model nor a tool_choice can reach it."""

    async def story(world: World) -> None:
        world.upstream.usual = answer(body={"choices": [], "output": [], "content": []})
        for sent in range(2):
            response = await world.post(path, ASKED[path] | {"tools": [OWN[path], tool]})
            assert response.headers["x-rloop-left-out"] == told
            assert world.upstream.seen[sent].body["tools"] == [OWN[path]]
        alone = await world.post(path, ASKED[path] | {"tools": [tool]})
        assert alone.status_code == 200
        assert "tools" not in world.upstream.seen[2].body

    with structlog.testing.capture_logs() as lines:
        play(story)
    logged = [one["fields"] for one in lines if one["event"] == "llm_left_out"]
    assert logged == [[told]], "once for each session"


@pytest.mark.parametrize(
    ("path", "tools", "choice"),
    [
        ("/messages", [{"type": "web_search_20250305", "name": "web"}], {"type": "tool", "name": "web"}),
        ("/messages", [{"type": "web_search_20250305", "name": "web"}], {"type": "any"}),
        ("/responses", [{"type": "web_search"}], {"type": "web_search"}),
        ("/responses", [{"type": "web_search"}], "required"),
        ("/responses", [{"type": "mcp", "server_label": "m"}], {"type": "mcp", "server_label": "m"}),
        (
            "/responses",
            [{"type": "web_search"}],
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]},
        ),
    ],
)
def test_a_choice_of_a_tool_that_is_left_out_is_refused(path: str, tools: list[dict[str, Any]], choice: object) -> None:
    async def story(world: World) -> None:
        refused = await world.post(path, ASKED[path] | {"tools": tools, "tool_choice": choice})
        assert refused.status_code == 400
        assert "tool_choice" in refused.json()["error"]["message"]
        assert not world.upstream.seen

    play(story)


@pytest.mark.parametrize(
    ("path", "tools"),
    [
        ("/chat/completions", [{"type": "function", "function": {"name": "f"}}]),
        ("/responses", [{"type": "local_shell"}, {"type": "custom", "name": "c"}]),
        (
            "/responses",
            [
                {
                    "type": "namespace",
                    "name": "mcp__rloop",
                    "description": "d",
                    "tools": [{"type": "function", "name": "read_task", "parameters": {"type": "object"}}],
                }
            ],
        ),
        ("/messages", [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}]),
    ],
)
def test_tools_that_the_client_runs_pass(path: str, tools: list[dict[str, Any]]) -> None:
    async def story(world: World) -> None:
        await world.post(path, ASKED[path] | {"tools": tools})
        assert world.upstream.seen[0].body["tools"] == tools

    play(story)


def test_of_two_limits_the_larger_counts_and_both_are_kept() -> None:
    async def story(world: World) -> None:
        assert (await world.chat(max_completion_tokens=16, max_tokens=5000)).status_code == 200
        sent = world.upstream.seen[0].body
        assert (sent["max_completion_tokens"], sent["max_tokens"]) == (1000, 1000), "the model's own limit"

    play(story)


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("path", ["/messages/count_tokens", "/responses", "/chat/completions"])
def test_what_was_answered_before_is_nothing_to_wait_for(status: int, path: str) -> None:
    """A route that the provider lacks, or a prompt that it forbids, excuses nobody."""

    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 200
        world.upstream.replies.append(error(status, "not here"))
        assert (await world.post(path, ASKED[path])).status_code == status
        assert (await world.settled()).waiting is None

    play(story)


def test_a_call_that_is_free_says_nothing_of_the_model() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(error(404, "not here"))
        assert (await world.post("/messages/count_tokens", CHAT)).status_code == 404
        assert (await world.settled()).waiting is None

    play(story)


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"tokensPerSession": 1000}, 'limits.tokensPerSession of provider "main", which is 1000'),
        ({"tokensPerHour": 1000}, 'limits.tokensPerHour of provider "main", which is 1000'),
        ({"costPerSession": "0.001"}, 'limits.costPerSession of provider "main", which is 0.001'),
        ({"costPerHour": "0.001"}, 'limits.costPerHour of provider "main", which is 0.001'),
    ],
)
def test_a_cap_that_no_first_call_fits_in_is_told_to_a_person(limits: dict[str, str], field: str) -> None:
    async def story(world: World) -> None:
        refused = await world.chat(messages=PROMPT)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cap_too_small")
        usage = await world.usage()
        assert (usage.waiting, usage.refused_call) == ("CapTooSmall", None)
        assert usage.waiting_message.startswith("a first call needs at least ")
        assert usage.waiting_message.endswith(f"raise {field}")
        assert (await world.chat()).status_code == 200
        assert (await world.settled()).waiting is None

    play(story, limits=limits)


def test_a_session_is_not_to_be_smaller_than_its_first_call() -> None:
    async def story(world: World) -> None:
        assert (await world.chat(messages=PROMPT)).json()["error"]["code"] == "cap_too_small"
        assert "raise spec.agent.llm.maxTokensPerSession, which is 1000" in (await world.usage()).waiting_message

    llm = {"provider": "main", "model": "small-1", "maxTokensPerSession": 1000}
    play(story, max_tokens=1000, spec={"agent": {"llm": llm}})


class Flaky(MemoryStore):
    """An API server that is away now and then; and how often something was written."""

    away = False
    writes = 0

    @override
    async def apply_status(self, obj: Any) -> Any:
        if self.away:
            raise RloopError("the API server is away")
        self.writes += 1
        return await super().apply_status(obj)


def test_what_could_not_be_written_after_a_call_is_written_with_the_next_flush() -> None:
    store = Flaky({})

    async def story(world: World) -> None:
        async def reply(exchange: Exchange) -> None:
            store.away = True
            await answer(body=chat(tokens=(100, 0, 60_000)))(exchange)

        world.upstream.usual = reply
        assert (await world.chat(max_tokens=None)).status_code == 200
        store.away = False
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens) == (1, 60_100)

    play(story, store=store, max_tokens=200_000, spec={"budget__tokens": 200_000}, **UNLIMITED)


def test_refused_first_calls_are_no_load_and_the_smallest_is_told() -> None:
    store = Flaky({})

    async def story(world: World) -> None:
        for _ in range(20):
            assert (await world.chat()).status_code == 403
        told, writes = (await world.usage()).refused_call, store.writes
        assert told is not None
        await world.chat(messages=PROMPT)
        assert (await world.usage()).refused_call == told
        assert writes == 2, "what it would have taken, and why the session fails"

    play(story, store=store, max_tokens=20, spec={"budget__tokens": 20})


def test_a_client_that_has_the_whole_stream_need_not_wait_for_the_provider_to_hang_up() -> None:
    async def story(world: World) -> None:
        async def reply(exchange: Exchange) -> None:
            await exchange.send(STREAM_HEAD, chunk(delta("hi")), chunk(USAGE_EVENT), chunk(DONE))
            await asyncio.Event().wait()

        world.upstream.usual = reply
        async with world.client.stream(
            "POST", "/chat/completions", json=STREAM, headers={"authorization": "Bearer s1"}
        ) as response:
            async for line in response.aiter_lines():
                if "[DONE]" in line:
                    break
        await until(lambda: bool(world.records))
        usage = await world.settled()
        assert (world.records[0].code, usage.input_tokens + usage.output_tokens) == ("answered", 120)

    play(story)


def test_a_client_that_leaves_while_its_call_waits_for_others_is_not_charged() -> None:
    async def story(world: World) -> None:
        goes_on = asyncio.Event()

        async def reply(exchange: Exchange) -> None:
            await goes_on.wait()
            await answer(body=chat())(exchange)

        world.upstream.usual = reply
        first = asyncio.create_task(world.chat(max_tokens=200))
        await until(lambda: len(world.upstream.seen) == 1)
        with pytest.raises(httpx.TimeoutException):
            await world.client.post(
                "/chat/completions",
                json=CHAT | {"max_tokens": 200},
                headers={"authorization": "Bearer s1"},
                timeout=0.2,
            )
        goes_on.set()
        assert (await first).status_code == 200
        usage = await world.settled()
        assert (usage.calls, len(world.upstream.seen)) == (1, 1)

    play(story, max_tokens=400)
