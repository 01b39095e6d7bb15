"""The benchmark of searches, on a table made here: the real ones are no dependency of the tests."""

from __future__ import annotations

import asyncio
import json
from itertools import product
from typing import Any

import numpy as np
import pytest
from benchmarks import search
from benchmarks.campaigns.kuhn import InMemory, at_once
from benchmarks.tables import data, ours, peers
from benchmarks.tables.data import Table
from benchmarks.tables.history import History

from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Point
from rloop.campaign_state import kept_number
from rloop_agent import session
from rloop_agent.policies.table import POLICIES
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign, verdict
from rloop_operator.sim.runtime import Outcome, World

RUNS = 70


def bowl(noise: float) -> Table:
    """Three dimensions, of which one has no order; the best configuration is a=8, b=2, c="y"."""
    choices: dict[str, Any] = {"a": (1, 2, 4, 8, 16), "b": (1, 2, 4, 8, 16), "c": ("x", "y", "z")}
    truth = np.array(
        [-((a - 3) ** 2) - (b - 1) ** 2 - 2.0 * (c - 1) ** 2 for a, b, c in product(*map(range, (5, 5, 3)))]
    )
    runs = np.stack([truth - noise, truth, truth + noise], axis=1)
    return Table("bowl", choices, runs, truth)


def history(noise: float, seed: int = 1) -> History:
    return History(bowl(noise), np.random.default_rng(seed))


def test_a_table_counts_what_is_true() -> None:
    table = bowl(1.0)
    best = table.position({"a": 8, "b": 2, "c": "y"})
    assert (table.true(best), table.regret(best)) == (0.0, 0.0)
    assert table.point(best) == {"a": 8, "b": 2, "c": "y"}
    assert table.ordered == {"a": True, "b": True, "c": False}
    one = History(table, np.random.default_rng(1))
    assert {one.run(best) for _ in range(30)} == {-1.0, 0.0, 1.0}
    worse = (0, 0, 0)
    for position in (worse, best, worse):
        one.report(position, 0.0)
    assert (one.runs, one.claims, one.false) == (30, 2, 1), "the last claim is false"


@pytest.mark.parametrize("method", [*search.OURS, *(one for one in peers.PEERS if one != "nevergrad")])
def test_no_search_exceeds_its_budget_and_each_can_be_repeated(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "table", lambda _: bowl(0.1))
    found = [search.searched(method, "bowl", 3, 40) for _ in range(2)]
    assert found[0] == found[1]


@pytest.mark.parametrize("policy", ["tpe", "random-search"])
def test_without_noise_it_keeps_what_a_campaign_of_the_simulated_shell_keeps(policy: str) -> None:
    """The same proposals in the same order, judged alike: sessions, results and the end of the budget are the same."""
    one = history(0.0)
    ours.search(policy, one, RUNS, seed=5)
    task = one.reports[0][1]
    assert [one.table.point(position) for _, position, _ in one.reports[1:]] == simulated(one.table, task, policy)
    assert len(one.reports) > 2


def simulated(table: Table, task: data.Position, policy: str) -> list[Point]:
    """The kept points of a campaign."""

    def world(gateway: Gateway, store: Store) -> World:
        points: dict[str, Point] = {}

        async def propose(caller: Caller) -> None:
            around = session.Surroundings(clock=lambda: 0.0)
            session.run(InMemory(gateway, caller), POLICIES[policy], 5, caller.session, around)

        def go(_: ResearchLoop, work: Workload) -> Outcome:
            if work.role == "agent":
                return Outcome(1.0, act=propose)
            if work.owner not in points:
                own = work.owner.endswith("-b01")
                text = recipe if own else at_once(store.files(work.owner))["recipe.json"].content.decode()
                points[work.owner] = json.loads(text)
            value = table.true(table.position(points[work.owner]))
            return Outcome(1.0) if work.role == "run" else verdict("score", value)

        return go

    recipe = json.dumps(table.point(task))
    space = table.space(task).model_dump_json(by_alias=True, exclude_none=True)
    ran = Campaign(manifest(), {"recipe.json": File(recipe.encode()), "space.yaml": File(space.encode())}, world)
    asyncio.run(ran.run())
    found = at_once(ran.store.list(ResearchExperiment, "table"))
    kept = sorted((one for one in found if kept_number(one)), key=kept_number)
    return [point for one in kept if (point := table.space(task).of_text(one.spec.point))]


def manifest() -> ResearchLoop:
    return ResearchLoop.model_validate(
        {
            "metadata": {"name": "table", "uid": "0" * 32},
            "spec": {
                "direction": "Find the best.",
                "boundaries": {"editable": ["recipe.json"]},
                "task": {"path": "./task"},
                "objective": {"metric": "score", "goal": "Maximize"},
                "evaluation": {
                    "code": {"path": "./evaluation"},
                    "command": ["./score"],
                    "repeats": 1,
                    "baselineRuns": 5,
                },
                "experiment": {"job": {}, "command": ["./train"], "activeDeadlineSeconds": 60},
                "agent": {"policy": {"name": "random-search"}, "maxExperiments": ours.PER_SESSION},
                "budget": {"runs": RUNS},
            },
        }
    )
