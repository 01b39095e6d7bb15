"""Whatever numbers a verdict or a run's claims hold, the campaign ends in order, and nothing infinite is stored."""

from __future__ import annotations

import asyncio
import json
from itertools import cycle
from typing import Any, Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest, FinishRequest
from rloop.campaign_state import finished
from rloop.verify.campaign import Verified, verify
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign
from rloop_operator.sim.runtime import Outcome, World

HUGE = [1.7e308, 1.6e308, -1.7e308]


def manifest(goal: str, acceptance: str) -> ResearchLoop:
    spec: dict[str, Any] = {
        "direction": "Any number will do.",
        "boundaries": {"editable": ["recipe.json"]},
        "task": {"path": "./task"},
        "objective": {"metric": "score", "goal": goal, "target": "1", "guardrails": [{"metric": "other", "max": "7"}]},
        "evaluation": {
            "code": {"path": "./evaluation"},
            "command": ["./score"],
            "repeats": 2,
            "baselineRuns": 3,
            "acceptance": acceptance,
        },
        "experiment": {"job": {}, "command": ["./train"], "activeDeadlineSeconds": 60},
        "agent": {"policy": {"name": "random-search"}, "maxExperiments": 2},
        "stall": {"pivotAfter": 100, "attentionAfter": 1000},
        "budget": {"experiments": 4, "runs": 60},
    }
    return ResearchLoop.model_validate({"metadata": {"name": "any"}, "spec": spec})


async def propose(gateway: Gateway, caller: Caller) -> None:
    if caller.session.endswith("i0001-s1"):
        await gateway.propose_direction(caller, DirectionRequest(title="numbers", fields={"method": "chance"}))
    for sequence in (1, 2):
        files = {"recipe.json": f'{{"proposal": "{caller.session}-{sequence}"}}'}
        await gateway.propose_experiment(caller, ExperimentRequest(sequence=sequence, title="a number", files=files))
    await gateway.finish(caller, FinishRequest(handoff=""))


async def campaign(goal: str, acceptance: str, values: list[float], claims: list[float]) -> tuple[Campaign, Any]:
    drawn, claimed = cycle(values), cycle(claims)

    def make_world(gateway: Gateway, _: Store) -> World:
        def go(_: ResearchLoop, work: Workload) -> Outcome:
            if work.role == "agent":
                return Outcome(1.0, act=lambda caller: propose(gateway, caller))
            if work.role == "run":
                return Outcome(1.0, claims={"score": next(claimed)})
            metrics = {"score": next(drawn), "other": next(drawn)}
            return Outcome(1.0, message=json.dumps({"verdict": {"metrics": metrics}}))

        return go

    sim = Campaign(manifest(goal, acceptance), {"recipe.json": File(b"{}")}, make_world)
    return sim, await sim.run(20_000)


any_finite = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [5e-324, 1e150, -1e150, 0.0, -0.0, *HUGE]
)


@settings(max_examples=30)
@example("Maximize", "Standard", HUGE, HUGE)
@example("Minimize", "Standard", [5e-324, 0.0, 1e-320], [0.0])
@example("Minimize", "Standard", [1e150, -1e150, 1e149], HUGE)
@given(
    goal=st.sampled_from(["Minimize", "Maximize"]),
    acceptance=st.sampled_from(["Standard", "Economy", "Provisional"]),
    values=st.lists(any_finite, min_size=1, max_size=40),
    claims=st.lists(any_finite, min_size=1, max_size=5),
)
def test_a_campaign_ends_in_order_whatever_is_measured(
    goal: Literal["Minimize", "Maximize"], acceptance: str, values: list[float], claims: list[float]
) -> None:
    async def go() -> None:
        sim, loop = await campaign(goal, acceptance, values, claims)
        assert finished(loop)
        experiments = await sim.store.list(ResearchExperiment, "any")
        for obj in [loop, *experiments]:
            json.dumps(obj.model_dump(mode="json", by_alias=True), allow_nan=False)
        found = verify(loop, {one.metadata.name: one for one in experiments}, sim.store.entries("any"))
        assert isinstance(found, Verified), found

    asyncio.run(go())


def test_a_baseline_beyond_the_bound_ends_the_campaign_with_a_reason() -> None:
    async def go() -> None:
        _, loop = await campaign("Minimize", "Standard", HUGE, [0.0])
        (failed,) = [one for one in loop.status.conditions if one.type == "Failed"]
        assert (failed.status, failed.reason) == ("True", "BaselineFailed")

    asyncio.run(go())
