"""A provider that fails, in each of its ways: what the agent is told, what is charged, and what the campaign says."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.operator.llm_proxy.world import (
    CHAT,
    DONE,
    KEY,
    PRICES,
    STREAM,
    Exchange,
    Reply,
    World,
    answer,
    chat,
    delta,
    error,
    event,
    hang,
    play,
    provided,
    reserved,
    reset,
    served,
    stored,
    stream,
    until,
)
from typing_extensions import override

from rloop.api.iteration import ResearchIteration
from rloop.errors import Conflict
from rloop_operator.llm_proxy.upstream.breaker import FAILURES
from rloop_operator.sim.store import MemoryStore

RESERVED = reserved(CHAT)


def code(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529, 408, 429])
def test_a_provider_that_recovers_is_asked_again_and_the_agent_sees_nothing_of_it(status: int) -> None:
    async def story(world: World) -> None:
        world.upstream.replies += [error(status), error(status)]
        response = await world.chat()
        assert (response.status_code, len(world.upstream.seen)) == (200, 3)
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens, usage.waiting) == (1, 100, None)

    play(story)


def test_retry_after_is_honoured() -> None:
    async def story(world: World) -> None:
        times: list[float] = []

        async def busy(exchange: Exchange) -> None:
            times.append(time.monotonic())
            await error(429, retry_after="1")(exchange)

        async def then(exchange: Exchange) -> None:
            times.append(time.monotonic())
            await answer(body=chat())(exchange)

        world.upstream.replies += [busy, then]
        assert (await world.chat()).status_code == 200
        assert times[1] - times[0] >= 1

    play(story)


@pytest.mark.parametrize("after", ["300", "Wed, 01 Jan 2200 00:00:00 GMT"])
def test_a_provider_that_wants_more_time_than_a_call_has_is_waited_for_by_the_agent(after: str) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = error(429, "slow down", retry_after=after)
        response = await world.chat()
        assert code(response) == (503, "provider_down")
        assert 300 <= int(response.headers["retry-after"]) <= 3600
        assert "slow down" in response.json()["error"]["message"]
        assert len(world.upstream.seen) == 1
        usage = await world.settled()
        assert (usage.waiting, usage.calls, usage.input_tokens) == ("ProviderDown", 0, 0)
        assert "HTTP 429: slow down" in usage.waiting_message
        # The first answer ends the waiting at once.
        world.upstream.usual = answer(body=chat())
        assert (await world.chat()).status_code == 200
        assert (await world.usage()).waiting is None

    play(story)


def test_while_a_call_still_tries_its_session_says_that_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rloop_operator.llm_proxy.upstream.retries.WAITING_SECONDS", 0.0)

    async def story(world: World) -> None:
        seen: list[str | None] = []

        async def look(exchange: Exchange) -> None:
            seen.append((await world.usage()).waiting)
            await answer(body=chat())(exchange)

        world.upstream.replies += [error(500), look]
        assert (await world.chat()).status_code == 200
        assert seen == ["ProviderDown"]
        assert (await world.usage()).waiting is None

    play(story)


@pytest.mark.parametrize(
    ("reply", "expected", "waiting", "said"),
    [
        (error(401, "bad key"), (424, "provider_refused"), "ProviderRefused", "bad key"),
        (error(403, "not yours"), (424, "provider_refused"), "ProviderRefused", "not yours"),
        (error(402, "no money"), (424, "provider_refused"), "ProviderRefused", "no money"),
        (
            answer(429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}),
            (424, "provider_refused"),
            "ProviderRefused",
            "has no credit left: HTTP 429: You exceeded your current quota; ask the administrator to pay",
        ),
        (
            error(400, "Your credit balance is too low to access the Anthropic API."),
            (424, "provider_refused"),
            "ProviderRefused",
            "has no credit left",
        ),
        (error(404, "no such model"), (404, "model_unknown"), "ModelUnknown", "no such model"),
        *(
            (error(status, words), (404, "model_unknown"), "ModelUnknown", "correct spec.agent.llm.model")
            for status, words in (
                (404, "The model `nosuch` does not exist."),
                (404, 'model "nosuch" not found, try pulling it first'),
                (400, "nosuch is not a valid model ID"),
                (400, "Invalid model name passed in model=nosuch. Call `/v1/models` to view available models"),
                (422, "Model nosuch not found"),
            )
        ),
        (error(404, "no such path"), (404, "model_unknown"), "ModelUnknown", "/chat/completions: HTTP 404"),
        (answer(404, b"<html>nothing here"), (424, "provider_malformed"), "ProviderDown", "check its url"),
        (answer(405, b""), (424, "provider_malformed"), "ProviderDown", "HTTP 405"),
        (answer(301, b"", location="http://127.0.0.1:1/"), (424, "provider_malformed"), "ProviderDown", "HTTP 301"),
        (answer(200, b"<html>welcome"), (424, "provider_malformed"), "ProviderDown", "not JSON"),
        (answer(200, b'{"choices": [{"mess'), (424, "provider_malformed"), "ProviderDown", "not JSON"),
        (
            answer(200, {"hello": 1}),
            (424, "provider_malformed"),
            "ProviderDown",
            "not belong to this API; check the URL http://",
        ),
        (answer(200, [1]), (424, "provider_malformed"), "ProviderDown", "not belong to this API"),
    ],
)
def test_what_another_try_would_not_mend_is_told_at_once(
    reply: Reply, expected: tuple[int, str], waiting: str, said: str
) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = reply
        response = await world.chat()
        assert code(response) == expected
        assert said in response.json()["error"]["message"]
        assert len(world.upstream.seen) == 1
        usage = await world.settled()
        assert (usage.waiting, said in usage.waiting_message) == (waiting, True)
        # An answer with status 200 was billed, whatever it holds; an error was not.
        assert usage.input_tokens + usage.output_tokens == (RESERVED if said.startswith("no") and billed else 0)

    billed = expected[1] == "provider_malformed"

    play(story)


def test_a_request_that_the_provider_finds_wrong_is_the_agents_affair() -> None:
    async def story(world: World) -> None:
        body = {"error": {"message": f"context_length_exceeded by {KEY}", "code": "context_length_exceeded"}}
        world.upstream.replies.append(answer(400, body))
        response = await world.chat()
        assert response.status_code == 400
        assert response.json()["error"]["code"] == "context_length_exceeded"
        assert KEY not in response.text
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens, usage.waiting) == (0, 0, None)
        assert usage.failure is not None
        assert "context_length_exceeded by" in usage.failure.message
        assert KEY not in usage.failure.message

    play(story)


def test_an_answer_without_usage_is_charged_as_it_was_estimated() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(answer(body=chat(tokens=None)))
        assert (await world.chat()).status_code == 200
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens) == (1, RESERVED)
        assert float(usage.cost) == pytest.approx(((RESERVED - 50) * 1 + 50 * 10) / 1e6)

    play(story)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -100, "completion_tokens": 20},
        {"prompt_tokens": 100, "completion_tokens": -20},
        {"prompt_tokens": "100", "completion_tokens": 20},
        {"prompt_tokens": 10**30, "completion_tokens": 20},
        {"prompt_tokens": 10_000_001, "completion_tokens": 20},
        {"prompt_tokens": 100.5, "completion_tokens": 20},
        {"prompt_tokens": True, "completion_tokens": 20},
        {"prompt_tokens": 100, "completion_tokens": 20, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": [100], "completion_tokens": 20},
        {},
        [],
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_a_count_that_is_none_is_charged_as_estimated(usage: object, streams: bool) -> None:
    async def story(world: World) -> None:
        if streams:
            world.upstream.usual = stream(delta("a"), event({"choices": [], "usage": usage}), DONE)
        else:
            world.upstream.usual = answer(body=chat() | {"usage": usage})
        response = await (world.post("/chat/completions", STREAM) if streams else world.chat())
        assert response.status_code == 200
        charged = await world.settled()
        expected = reserved(STREAM) if streams else RESERVED
        assert (charged.calls, charged.input_tokens + charged.output_tokens) == (1, expected)

    play(story)


def test_a_count_in_floats_is_a_count() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = answer(body=chat() | {"usage": {"prompt_tokens": 100.0, "completion_tokens": 20.0}})
        await world.chat()
        assert (await world.settled()).input_tokens == 100

    play(story)


def test_an_answer_may_come_compressed_and_with_odd_headers() -> None:
    """The proxy asks for neither; what it passes on is what it has read."""

    async def story(world: World) -> None:
        content = gzip.compress(json.dumps(chat()).encode())
        world.upstream.usual = answer(body=content, content_encoding="gzip", x_request_id="你")
        response = await world.chat()
        assert (response.status_code, response.json()) == (200, chat())
        assert "content-encoding" not in response.headers
        assert (await world.settled()).input_tokens == 100
        world.upstream.usual = answer(body=content[:-20], content_encoding="gzip")
        assert code(await world.chat())[1] in ("provider_malformed", "provider_down")

    play(story)


def test_an_answer_that_is_lost_is_charged_and_asked_for_once_more() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(reset())
        assert (await world.chat()).status_code == 200
        usage = await world.settled()
        assert (usage.calls, usage.input_tokens + usage.output_tokens) == (2, RESERVED + 120)
        world.upstream.usual = reset()
        assert code(await world.chat()) == (503, "provider_down")
        assert len(world.upstream.seen) == 4

    play(story)


def test_nobody_listens() -> None:
    async def story(world: World) -> None:
        response = await world.chat()
        assert code(response) == (503, "provider_down")
        assert "no connection" in response.json()["error"]["message"]
        usage = await world.settled()
        assert (usage.waiting, usage.calls) == ("ProviderDown", 0)

    play(story, url="http://127.0.0.1:1/v1", retry={"totalSeconds": 1})


@pytest.mark.parametrize("first", [b"", b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"cho'])
def test_a_provider_that_falls_silent_holds_nobody_longer_than_a_call_may_last(first: bytes) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = hang(first)
        assert code(await world.chat()) == (503, "provider_down")
        usage = await world.settled()
        # Asked, and nobody knows what it cost.
        assert usage.input_tokens + usage.output_tokens >= RESERVED

    play(story, retry={"totalSeconds": 1, "idleSeconds": 1})


def test_an_endpoint_that_fails_again_and_again_is_left_alone_and_then_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(world: World) -> None:
        world.upstream.usual = error(500, "broken")
        response = await world.chat()
        assert code(response) == (503, "provider_down")
        assert "broken" in response.json()["error"]["message"]
        assert len(world.upstream.seen) == FAILURES
        assert world.proxy.upstream.states() == {("main", "small-1"): "open"}
        refused = await world.chat()
        assert code(refused) == (503, "provider_down")
        assert 1 <= int(refused.headers["retry-after"]) <= 20
        assert "broken" in refused.json()["error"]["message"]
        assert len(world.upstream.seen) == FAILURES
        monkeypatch.setattr("rloop_operator.llm_proxy.upstream.breaker.OPEN_SECONDS", 0.0)
        others = asyncio.Event()

        async def patient(exchange: Exchange) -> None:
            await others.wait()
            await answer(body=chat())(exchange)

        world.upstream.usual = patient
        probe = asyncio.create_task(world.chat())
        await until(lambda: len(world.upstream.seen) > FAILURES)
        # One may try; who comes meanwhile is told to come again.
        assert code(await world.chat()) == (503, "provider_down")
        others.set()
        assert (await probe).status_code == 200
        assert (await world.chat()).status_code == 200
        assert world.proxy.upstream.states() == {("main", "small-1"): "closed"}

    play(story)


MODELS = [
    {"name": "small-1", "prices": PRICES, "fallback": ["small-0"]},
    {"name": "small-0", "maxOutputTokens": 30, "prices": {"input": "2", "output": "20"}},
]


def test_another_model_answers_while_the_first_is_down_and_is_named_and_priced() -> None:
    async def story(world: World) -> None:
        async def only_the_old(exchange: Exchange) -> None:
            old = exchange.body["model"] == "small-0"
            await (answer(body=chat(model="small-0")) if old else error(503, "busy"))(exchange)

        world.upstream.usual = only_the_old
        response = await world.chat()
        assert (response.status_code, response.headers["x-rloop-model"]) == (200, "small-0")
        assert [one.body["model"] for one in world.upstream.seen] == ["small-1", "small-1", "small-0"]
        assert world.upstream.seen[-1].body["max_tokens"] == 30
        usage = await world.settled()
        assert float(usage.cost) == pytest.approx((100 * 2 + 20 * 20) / 1e6)
        assert usage.waiting is None

    play(story, models=MODELS)


def test_another_models_answer_is_noticed() -> None:
    async def story(world: World) -> None:
        with structlog.testing.capture_logs() as lines:
            world.upstream.replies += [answer(body=chat(model="small-1-2026-01")), answer(body=chat(model="cheap-7"))]
            for _ in range(2):
                assert (await world.chat()).headers["x-rloop-model"] == "small-1"
        told = [one["answered_by"] for one in lines if one["event"] == "llm_other_model"]
        assert told == ["cheap-7"]

    play(story)


@pytest.mark.parametrize("place", ["~/key", "{home}/key"])
def test_a_rotated_key_is_picked_up_and_a_missing_one_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """As a kubelet turns a Secret over: the file is a link through a folder that is itself a link."""
    for name, key in (("one", "sk-first-key-000000"), ("two", "sk-second-key-000000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(f"{key}\n")
    data, file = tmp_path / "..data", tmp_path / "key"
    data.symlink_to(tmp_path / "one")
    file.symlink_to(data / "key")

    async def story(world: World) -> None:
        assert (await world.chat()).status_code == 200
        (tmp_path / "new").symlink_to(tmp_path / "two")
        (tmp_path / "new").rename(data)
        assert (await world.chat()).status_code == 200
        sent = [one.headers["authorization"] for one in world.upstream.seen]
        assert sent == ["Bearer sk-first-key-000000", "Bearer sk-second-key-000000"]
        (tmp_path / "two" / "key").write_text("")
        assert code(await world.chat()) == (424, "provider_refused")
        data.unlink()
        response = await world.chat()
        assert code(response) == (424, "provider_refused")
        assert "keyFile" in response.json()["error"]["message"]
        assert (await world.usage()).waiting == "ProviderRefused"

    monkeypatch.setenv("HOME", str(tmp_path))
    play(story, keyEnv=None, keyFile=place.format(home=tmp_path))


def test_no_key_goes_anywhere_but_to_its_provider(capfd: pytest.CaptureFixture[str]) -> None:
    shaped = "sk-proj-abcdefghijklmnopqrstuvwx"

    async def story(world: World) -> None:
        world.upstream.usual = answer(body=chat(f"your key is {KEY}, and {shaped} is a model's own words"))
        response = await world.chat()
        assert KEY not in response.text
        assert shaped in response.text
        told = f"wrong key {KEY}, or was it {shaped}? Authorization: Bearer abcdef0123456789 http://u:p@h/"
        for status in (401, 400, 404, 500):
            world.upstream.usual = error(status, told)
            response = await world.chat()
            assert "wrong key" in response.text
            for secret in (KEY, shaped, "abcdef0123456789", "u:p@"):
                assert secret not in response.text + str(response.headers)
        iteration = await world.store.get(ResearchIteration, "demo-i0001")
        assert KEY not in iteration.model_dump_json()

    play(story, retry={"totalSeconds": 1})
    printed = "".join(capfd.readouterr())
    assert "llm_call" in printed
    assert KEY not in printed
    assert shaped not in printed


def test_a_client_that_goes_away_takes_its_call_with_it_and_is_charged() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = hang()
        calling = asyncio.create_task(world.chat())
        await until(lambda: world.upstream.seen)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        await asyncio.wait_for(world.upstream.gone.wait(), 10)
        await until(lambda: world.records)
        usage = await world.settled()
        assert (world.records[0].code, usage.calls) == ("gone", 1)
        assert usage.input_tokens + usage.output_tokens == RESERVED

    play(story)


def test_a_client_that_goes_away_between_two_tries_is_charged_nothing() -> None:
    async def story(world: World) -> None:
        world.upstream.usual = error(429, retry_after="10")
        calling = asyncio.create_task(world.chat())
        await until(lambda: world.upstream.seen)
        await asyncio.sleep(0.2)  # it waits for its second try
        calling.cancel()
        await until(lambda: world.records)
        usage = await world.settled()
        assert (world.records[0].code, usage.calls, usage.input_tokens) == ("gone", 0, 0)

    play(story)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"a"', b"[" * 100_000])
def test_a_request_that_is_no_json_is_refused(body: bytes) -> None:
    async def story(world: World) -> None:
        response = await world.client.post("/chat/completions", content=body, headers={"authorization": "Bearer s1"})
        assert code(response) == (400, "malformed")

    play(story)


def test_a_request_of_any_size_is_read_only_so_far() -> None:
    async def story(world: World) -> None:
        response = await world.client.post(
            "/chat/completions", content=b"x" * (8 * 2**20 + 1), headers={"authorization": "Bearer s1"}
        )
        assert code(response) == (413, "too_large")

    play(story)


def test_an_answer_of_any_size_is_read_only_so_far() -> None:
    async def story(world: World) -> None:
        world.upstream.replies.append(answer(200, b"x" * (16 * 2**20 + 1)))
        assert code(await world.chat()) == (424, "provider_malformed")

    play(story)


class Stubborn(MemoryStore):
    """A store to which somebody else always writes first."""

    @override
    async def apply_status(self, obj: Any) -> Any:
        raise Conflict("too late")


def test_a_call_that_cannot_be_accounted_for_is_not_made() -> None:
    async def story() -> None:
        store = Stubborn({})
        await stored(store, max_tokens=100_000)
        async with provided() as upstream, served(upstream, store) as world:
            response = await world.chat()
            assert code(response) == (503, "provider_down")
            assert response.headers["retry-after"] == "5"
            assert upstream.seen == []

    asyncio.run(story())


def test_a_campaign_that_is_gone_ends_its_sessions() -> None:
    async def story() -> None:
        async with provided() as upstream, served(upstream, MemoryStore({})) as world:
            assert code(await world.chat()) == (403, "closed")

    asyncio.run(story())
