"""The tokens of a client with its own login: reported, stored, and held to the budget."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.operator.gateway.protocols.test_app import SESSION, World

from rloop import names
from rloop.api.iteration import ResearchIteration, SessionUsage
from rloop.decide.queries import session_outcome

OWN: dict[str, Any] = {"client": {"name": "codex", "login": "Own"}}


def reported(world: World) -> SessionUsage:
    iteration = asyncio.run(world.store.get(ResearchIteration, names.iteration("demo", 1)))
    (usage,) = iteration.status.reported.usage
    return usage


def test_totals_only_grow_whatever_is_repeated_or_begun_again() -> None:
    world = World(agent=OWN)
    first = {"inputTokens": 900, "cachedTokens": 300, "outputTokens": 50}
    stored = first | {"tokensLeft": None}
    assert world.post("usage", first) == (200, stored)
    assert world.post("usage", {}) == (200, stored), "another process of the session learns what was counted"
    assert world.post("usage", {"inputTokens": 950, "outputTokens": 40})[1]["inputTokens"] == 950
    usage = reported(world)
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens, usage.failure) == (950, 300, 50, None)


def test_a_budget_that_is_used_up_ends_the_session_with_its_reason() -> None:
    world = World(agent=OWN, budget__tokens=1000)
    assert world.post("usage", {"inputTokens": 600, "outputTokens": 100})[1]["tokensLeft"] == 300
    assert reported(world).failure is None
    assert world.post("usage", {"inputTokens": 1200, "outputTokens": 100})[1]["tokensLeft"] == 0
    failure = reported(world).failure
    assert failure is not None
    assert failure.reason in session_outcome.PERMANENT
    assert "spec.budget.tokens" in failure.message


def test_what_the_proxy_counts_is_not_reported() -> None:
    for agent in ({"llm": {"provider": "main", "model": "m"}}, {"policy": {"name": "random-search"}}):
        status, problem = World(agent=agent).post("usage", {"inputTokens": 1})
        assert (status, problem["reason"]) == (409, "CountedByProxy")


def test_a_report_that_cannot_be_true_is_refused_with_its_field() -> None:
    status, problem = World(agent=OWN).post("usage", {"inputTokens": -5})
    assert status == 422
    assert "inputTokens" in problem["message"]
    assert SESSION not in problem["message"]
