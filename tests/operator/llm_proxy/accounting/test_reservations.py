"""A call through the proxy: what passes untouched, what is charged for it, and which caps stop it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import openai
import pytest
from tests.operator.llm_proxy.world import (
    ASKED,
    ITERATION,
    KEY,
    PRICES,
    Exchange,
    World,
    answer,
    chat,
    play,
    provided,
    served,
    stored,
)
from tests.support.builders import condition

from rloop.api.iteration import RefusedCall, ResearchIteration, SessionStatus
from rloop.api.researchloop import ResearchLoop
from rloop_operator.llm_proxy.accounting.accounts import HOUR
from rloop_operator.llm_proxy.accounting.reservations import BLOCK_TOKENS
from rloop_operator.sim.store import MemoryStore


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


def test_a_call_passes_as_it_was_read_with_the_providers_key_and_without_the_agents_token() -> None:
    async def story(world: World) -> None:
        tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
        body = {"model": "small-1", "messages": [{"role": "user", "content": "é"}], "max_tokens": 5, "tools": tools}
        text = json.dumps(body, ensure_ascii=False, indent=3).encode()
        reply = chat()
        reply["choices"][0]["message"] = {"role": "assistant", "tool_calls": [{"id": "t", "function": {"name": "f"}}]}
        raw = json.dumps(reply, indent=1).encode()
        world.upstream.replies.append(answer(body=raw))
        headers = {"authorization": "Bearer s1", "x-mine": "secret", "cookie": "a=b"}
        response = await world.client.post("/chat/completions", content=text, headers=headers)
        assert (response.status_code, response.content) == (200, raw)
        assert response.headers["x-rloop-model"] == "small-1"
        (seen,) = world.upstream.seen
        assert (seen.path, seen.body) == ("/v1/chat/completions", body)
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert not {"x-mine", "cookie", "x-api-key"} & set(seen.headers)
        assert seen.raw == json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()

    play(story)


def test_a_call_is_charged_with_what_the_answer_counts() -> None:
    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 200
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1, 100, 40, 20)
        # 60 fresh at 1, 40 cached at 0.5, 20 written at 10, per million.
        assert Decimal(usage.cost) == Decimal("0.00028")
        (record,) = world.records
        assert (record.code, record.model, record.charged.tokens) == ("answered", "small-1", 120)

    play(story)


def test_what_is_set_aside_ahead_stands_in_the_store_before_the_provider_is_asked() -> None:
    async def story(world: World) -> None:
        held: list[tuple[int, str]] = []

        async def look(exchange: Exchange) -> None:
            usage = await world.usage()
            held.append((usage.held_tokens, usage.held_cost))
            await answer(body=chat())(exchange)

        world.upstream.usual = look
        await world.chat()
        await world.chat()
        # The second call needed no write: its reservation lies within the block.
        assert 50 + BLOCK_TOKENS < held[0][0] < 120 + BLOCK_TOKENS
        assert Decimal(held[0][1]) > Decimal(BLOCK_TOKENS * 10) / 1_000_000
        assert held[1] == held[0]

    play(story)


def test_what_is_set_aside_goes_back_when_the_session_has_finished_or_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        await world.chat()
        assert (await world.settled()).held_tokens > BLOCK_TOKENS - 200
        iteration = await world.store.get(ResearchIteration, ITERATION)
        reported = iteration.status.reported.model_copy(update={"finished": [f"{ITERATION}-s1"]})
        await world.edit(ResearchIteration, ITERATION, reported=reported)
        await world.chat("s2")
        monkeypatch.setattr("rloop_operator.llm_proxy.accounting.books.IDLE_SECONDS", 0.0)
        for token in ("s1", "s2"):
            usage = await world.settled(token)
            assert (usage.held_tokens, usage.held_cost, usage.input_tokens) == (0, "0", 100)

    play(story)


def test_a_proxy_that_dies_has_charged_what_it_had_set_aside() -> None:
    async def story() -> None:
        store = MemoryStore({})
        await stored(store, max_tokens=30_000)
        async with provided() as upstream:
            async with served(upstream, store) as world:
                await world.chat()
                await world.proxy.books.flush()
                await world.chat()  # since then nothing is written: only the bound stands there
                before = await world.usage()
                assert before.calls == 1
            async with served(upstream, store) as world:
                await world.chat()
                after = await world.settled()
                assert after.calls == 2
                charged = before.input_tokens + before.output_tokens + before.held_tokens
                spent = after.input_tokens + after.output_tokens + after.held_tokens
                # All that the dead proxy held is still charged, and the new call and its own block come on top.
                assert spent >= charged + 120
                assert 240 < charged <= 240 + BLOCK_TOKENS

    asyncio.run(story())


def test_who_may_not_call() -> None:
    async def story(world: World) -> None:
        assert code(await world.chat("nobody")) == (401, "unauthorized")
        assert code(await world.client.post("/chat/completions", json={})) == (401, "unauthorized")
        assert code(await world.chat("run")) == (401, "unauthorized")
        assert code(await world.client.post("/chat/completions", json={}, headers={"x-api-key": "s1"}))[0] == 404
        assert world.upstream.seen == []

    play(story)


@pytest.mark.parametrize("ended", ["session", "suspended", "complete"])
def test_a_session_that_is_over_calls_no_more(ended: str) -> None:
    async def story(world: World) -> None:
        if ended == "session":
            over = [SessionStatus(name=f"{ITERATION}-s1", phase="Finished")]
            await world.edit(ResearchIteration, ITERATION, sessions=over)
        elif ended == "complete":
            await world.edit(ResearchLoop, "demo", conditions=[condition("Complete")])
        assert code(await world.chat()) == (403, "closed"), "clients of OpenAI and Anthropic would retry a 409"
        assert world.upstream.seen == []

    play(story, spec={"suspend": ended == "suspended"})


def test_a_session_uses_the_model_of_its_campaign_and_sees_no_other() -> None:
    async def story(world: World) -> None:
        listed = (await world.client.get("/models", headers={"authorization": "Bearer s1"})).json()
        (model,) = listed["data"]
        assert (model["id"], model["object"], model["context_window"], model["max_output_tokens"]) == (
            "small-1",
            "model",
            10_000,
            1000,
        )
        response = await world.chat(model="large-9")
        assert code(response) == (404, "model_unknown")
        assert "small-1" in response.json()["error"]["message"]
        usage = await world.settled()
        assert (usage.waiting, usage.calls) == (None, 0), "the agent's own mistake makes nobody wait"
        assert usage.failure is not None
        assert usage.failure.reason == "RequestRefused"
        await world.chat()
        assert (await world.settled()).failure is None
        await world.chat(model="large-9")
        assert (await world.settled()).failure is None, "a client may try a second model for small tasks"

    play(story)


@pytest.mark.parametrize(
    ("changes", "expected", "waiting"),
    [
        ({"name": "other"}, (403, "provider_unknown"), "ProviderUnknown"),
        ({"namespaces": ["research-*"]}, (403, "provider_forbidden"), "ProviderUnknown"),
        ({"models": [{"name": "small-2"}]}, (404, "model_unknown"), "ModelUnknown"),
        ({"models": [{"name": "small-1"}], "limits": {"costPerSession": "1"}}, (403, "price_unknown"), "PriceUnknown"),
    ],
)
def test_what_the_administrator_has_not_allowed_is_refused_and_the_campaign_says_so(
    changes: dict[str, Any], expected: tuple[int, str], waiting: str
) -> None:
    async def story(world: World) -> None:
        assert code(await world.chat()) == expected
        usage = await world.usage()
        assert (usage.waiting, usage.calls) == (waiting, 0)
        assert usage.waiting_message
        assert world.upstream.seen == []

    play(story, **changes)


def test_a_price_may_be_unknown_where_no_cost_is_limited() -> None:
    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 200
        usage = await world.settled()
        assert (usage.input_tokens, usage.cost) == (100, "0")

    play(story, models=[{"name": "small-1"}])


CAPS: list[tuple[dict[str, Any], str]] = [
    ({"max_tokens": 400}, "session_spent"),
    ({"limits": {"tokensPerSession": 400}}, "session_spent"),
    ({"limits": {"costPerSession": "0.0012"}}, "session_spent"),
    ({"spec": {"budget__tokens": 400}}, "budget_spent"),
    ({"spec": {"budget__cost": "0.0012"}}, "budget_spent"),
    ({"limits": {"tokensPerHour": 400}}, "hour_cap"),
    ({"limits": {"costPerHour": "0.0012"}}, "hour_cap"),
]


@pytest.mark.parametrize(("caps", "expected"), CAPS)
def test_no_cap_is_passed_by_more_than_one_call_whoever_calls_at_once(caps: dict[str, Any], expected: str) -> None:
    tokens = ("s1",) if expected == "session_spent" else ("s1", "s2")

    async def story(world: World) -> None:
        asked = [world.chat(token) for token in tokens for _ in range(8)]
        codes = {response.status_code for response in await asyncio.gather(*asked)}
        assert codes == {200, 429 if expected == "hour_cap" else 403}
        usages = [await world.settled(token) for token in tokens]
        spent = sum(one.input_tokens + one.output_tokens for one in usages)
        money = sum(Decimal(one.cost) for one in usages)
        # A call takes 120 tokens at 0.00028.
        assert spent - 120 < 400
        assert money - Decimal("0.00028") < Decimal("0.0012")
        last = await world.chat(tokens[-1])
        for _ in range(5):
            if last.status_code == 200:
                last = await world.chat(tokens[-1])
        assert last.json()["error"]["code"] == expected
        assert ("retry-after" in last.headers) is (expected == "hour_cap")
        assert (await world.usage(tokens[-1])).waiting == ("HourCap" if expected == "hour_cap" else None)

    play(story, **caps)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"spec": {"budget__tokens": 5}}, True, id="the campaign's tokens"),
        pytest.param({"spec": {"budget__cost": "0.0001"}}, True, id="its money"),
        pytest.param({"max_tokens": 5}, True, id="the session's tokens, which may be its share"),
        pytest.param({"limits": {"tokensPerSession": 5}}, False, id="not the provider's limit for a session"),
        pytest.param({"limits": {"costPerSession": "0.0001"}}, False, id="nor that of money"),
    ],
)
def test_a_first_call_that_finds_too_little_left_is_told(changes: dict[str, Any], told: bool) -> None:
    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 403
        assert ((await world.usage()).refused_call is not None) is told

    play(story, **{"spec": {"budget__tokens": 1_000_000}, **changes})


def test_what_is_told_is_the_least_that_pays_for_the_call() -> None:
    found: list[RefusedCall] = []

    async def refused(world: World) -> None:
        assert (await world.chat()).status_code == 403
        told = (await world.usage()).refused_call
        assert told is not None
        found.append(told)

    async def answered(world: World) -> None:
        assert (await world.chat()).status_code == 200
        usage = await world.settled()
        assert (usage.calls, usage.refused_call) == (1, None)

    play(refused, spec={"budget__tokens": 1})
    least = found[0]
    play(answered, spec={"budget__tokens": least.tokens})
    play(refused, spec={"budget__tokens": least.tokens - 1})
    play(answered, spec={"budget__cost": least.cost})
    play(refused, spec={"budget__cost": str(Decimal(least.cost) - Decimal("1e-8"))})
    assert found == [least] * 3


def test_a_later_call_that_is_refused_says_nothing_of_the_budget() -> None:
    async def story(world: World) -> None:
        while (await world.chat()).status_code == 200:
            pass
        usage = await world.settled()
        assert usage.calls > 0
        assert usage.refused_call is None

    play(story, spec={"budget__tokens": 400})


def test_an_hour_slides(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 200
        refused = await world.chat(max_tokens=1000)
        while refused.status_code == 200:
            refused = await world.chat(max_tokens=1000)
        assert code(refused) == (429, "hour_cap")
        assert 3590 <= int(refused.headers["retry-after"]) <= HOUR
        monkeypatch.setattr("rloop_operator.llm_proxy.accounting.accounts.HOUR", 0.0)
        assert (await world.chat()).status_code == 200
        assert (await world.usage()).waiting is None

    play(story, limits={"tokensPerHour": 400})


def test_the_hour_survives_a_restart() -> None:
    async def story() -> None:
        store = MemoryStore({})
        await stored(store, max_tokens=100_000)
        async with provided() as upstream:
            async with served(upstream, store, limits={"tokensPerHour": 300}) as world:
                assert (await world.chat()).status_code == 200
                await world.proxy.books.flush(closing=True)
            async with served(upstream, store, limits={"tokensPerHour": 130}) as world:
                assert code(await world.chat()) == (429, "hour_cap")
            ended = datetime.now(UTC) - timedelta(hours=2)
            over = SessionStatus(name=f"{ITERATION}-s1", phase="Finished", finished_at=ended)
            async with served(upstream, store, limits={"tokensPerHour": 130}) as world:
                await world.edit(
                    ResearchIteration,
                    ITERATION,
                    sessions=[over, SessionStatus(name=f"{ITERATION}-s2", phase="Running")],
                )
                assert (await world.chat("s2")).status_code == 200

    asyncio.run(story())


def test_an_answer_is_bounded_by_what_is_left_and_by_what_the_model_can() -> None:
    async def story(world: World) -> None:
        for asked in (None, 5000, 7):
            await world.chat(max_tokens=asked)
        await world.chat(max_tokens=None, max_completion_tokens=5000)
        await world.post("/responses", {"model": "small-1", "input": "x"})
        sent = [one.body for one in world.upstream.seen]
        assert [one.get("max_tokens") for one in sent[:3]] == [1000, 1000, 7]
        assert (sent[3].get("max_tokens"), sent[3]["max_completion_tokens"]) == (None, 1000)
        assert sent[4]["max_output_tokens"] == 1000

    play(story)


def test_the_last_call_gets_what_is_left() -> None:
    async def story(world: World) -> None:
        await world.chat(max_tokens=None)
        assert 200 < world.upstream.seen[0].body["max_tokens"] < 300

    play(story, max_tokens=300)


def test_some_models_know_the_limit_by_another_name() -> None:
    async def story(world: World) -> None:
        told = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."

        async def particular(exchange: Exchange) -> None:
            wrong = "max_tokens" in exchange.body
            reply = answer(400, {"error": {"message": told}}) if wrong else answer(body=chat())
            await reply(exchange)

        world.upstream.usual = particular
        assert (await world.chat(max_tokens=None)).status_code == 200
        assert (await world.chat(max_tokens=None)).status_code == 200
        sent = [one.body for one in world.upstream.seen]
        assert ["max_tokens" in one for one in sent] == [True, False, False]
        assert sent[2]["max_completion_tokens"] == 1000
        # What the client itself has set is the client's affair.
        assert (await world.chat(max_tokens=5)).status_code == 400

    play(story)


def test_several_answers_at_once_are_set_aside_for() -> None:
    async def story(world: World) -> None:
        assert (await world.chat(n=5, max_tokens=100)).status_code == 200
        (seen,) = world.upstream.seen
        asked = len(json.dumps(seen.body | {"max_tokens": 100}, separators=(",", ":")))
        assert seen.body["max_tokens"] == (400 - -(-asked // 3)) // 5

    play(story, max_tokens=400)


@pytest.mark.parametrize(
    ("path", "reply", "expected"),
    [
        (
            "/responses",
            {
                "output": [],
                "usage": {"input_tokens": 100, "input_tokens_details": {"cached_tokens": 40}, "output_tokens": 20},
            },
            (100, 40, 20),
        ),
        (
            "/messages",
            {
                "content": [],
                "usage": {
                    "input_tokens": 50,
                    "cache_creation_input_tokens": 10,
                    "cache_read_input_tokens": 40,
                    "output_tokens": 20,
                },
            },
            (100, 40, 20),
        ),
        ("/chat/completions", {"choices": [], "usage": {"prompt_tokens": 7, "prompt_cache_hit_tokens": 3}}, (7, 3, 0)),
    ],
)
def test_each_way_of_speaking_is_counted(path: str, reply: object, expected: tuple[int, int, int]) -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(answer(body=reply))
        headers = {"anthropic-version": "2023-06-01"}
        response = await world.post(path, ASKED[path], **headers)
        assert (response.status_code, response.json()) == (200, reply)
        assert world.upstream.seen[0].headers["anthropic-version"] == "2023-06-01"
        usage = await world.settled()
        assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == expected

    play(story)


def test_counting_tokens_costs_nothing_and_needs_no_allowance() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(body={"input_tokens": 12})
        response = await world.post("/messages/count_tokens", {"model": "small-1", "messages": []})
        assert response.json() == {"input_tokens": 12}
        assert world.upstream.seen[0].path == "/v1/messages/count_tokens"
        assert (await world.settled()).calls == 0

    play(story, max_tokens=1, auth="XApiKey")


def test_the_key_can_go_in_the_other_header() -> None:
    async def story(world: World) -> None:
        await world.chat()
        assert world.upstream.seen[0].headers["x-api-key"] == KEY
        assert "authorization" not in world.upstream.seen[0].headers

    play(story, auth="XApiKey")


def test_openais_own_client_reads_answers_streams_and_refusals() -> None:
    async def story(world: World) -> None:
        url = str(world.client.base_url)
        async with openai.AsyncOpenAI(base_url=url, api_key="s1", max_retries=0) as client:
            said = await client.chat.completions.create(model="small-1", messages=[{"role": "user", "content": "x"}])
            assert said.choices[0].message.content == "hello"
            with pytest.raises(openai.NotFoundError) as caught:
                await client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
            assert caught.value.code == "model_unknown"
            assert [one.id async for one in client.models.list()] == ["small-1"]

    play(story)


def test_a_fallback_that_has_no_price_is_left_out_where_a_cost_is_limited() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(500, {"error": "no"})
        assert (await world.chat()).status_code == 503
        assert {one.body["model"] for one in world.upstream.seen} == {"small-1"}

    models = [{"name": "small-1", "prices": PRICES, "fallback": ["small-0"]}, {"name": "small-0"}]
    play(story, models=models, limits={"costPerHour": "5"}, retry={"totalSeconds": 1})
