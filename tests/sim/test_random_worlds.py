"""Random worlds: whatever happens to workloads, operator and spec, the promises of the design hold.

The promises are in tests/support/invariants.py; they are checked at every write and every start.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support import campaigns
from tests.support.builders import loop
from tests.support.campaigns import Driven, drive
from tests.support.worlds import Chances, world

EDITS = [campaigns.suspend, campaigns.redirect, campaigns.widen, campaigns.spend_more, campaigns.demand_pivot]
QUICK = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
share = st.sampled_from([0.0, 0.0, 0.05, 0.2])
chances = st.builds(
    Chances,
    crash=share,
    hang=share,
    lost=share,
    deadline=share,
    invalid=share,
    broken_verifier=share,
    agent_crash=share,
    outage=share,
    artifact_lost=share,
    lazy=st.sampled_from([0.0, 0.3]),
    gain=st.sampled_from([0.0, 0.3, 0.9]),
    step=st.sampled_from([0.5, 5.0]),
    noise=st.sampled_from([0.0, 1.0]),
    coarse=st.booleans(),
)
specs = st.fixed_dictionaries(
    {
        "budget__runs": st.integers(3, 50),
        "budget__experiments": st.integers(1, 12),
        "budget__activeSeconds": st.sampled_from([300, 3000]),
        "budget__cpuSeconds": st.sampled_from([40, 400, 100_000]),
        "parallelism": st.integers(1, 4),
        "objective__goal": st.sampled_from(["Minimize", "Maximize"]),
        "objective__minimumGain": st.sampled_from(["0", "1"]),
        "evaluation__repeats": st.integers(1, 3),
        "evaluation__baselineRuns": st.sampled_from([3, 5]),
        "evaluation__acceptance": st.sampled_from(["Standard", "Economy"]),
        "agent__explorers": st.sampled_from([["Investigate"], ["Investigate", "Refute", "Analogy"]]),
        "llm": st.booleans(),
        "budget__tokens": st.sampled_from([None, 300, 3000]),
        "stall__pivotAfter": st.integers(1, 3),
        "suspendPolicy": st.sampled_from(["Finish", "Stop"]),
        "experiment__backoffLimit": st.integers(0, 2),
    }
)


def spec_of(drawn: dict[str, Any], target: float | None) -> dict[str, Any]:
    fixed: dict[str, Any] = {
        "experiment__cpuSeconds": 10,
        "experiment__progressDeadlineSeconds": 12,
        "agent__sessionSeconds": 60,
    }
    drawn = dict(drawn)
    tokens = drawn.pop("budget__tokens")
    if drawn.pop("llm"):
        fixed |= {"agent__policy": None, "agent__llm": {"provider": "p", "model": "m"}, "budget__tokens": tokens}
    sign = 1 if drawn["objective__goal"] == "Maximize" else -1
    return {**drawn, **fixed, "objective__target": None if target is None else str(sign * target)}


@given(st.integers(0, 2**32), chances, specs, st.sampled_from([None, -20.0, 4.0]))
@QUICK
def test_nothing_goes_wrong_with_a_steady_operator(
    seed: int, luck: Chances, drawn: dict[str, Any], target: float | None
) -> None:
    random = Random(seed)
    drive(Driven(loop(**spec_of(drawn, target)), world(random, luck, drawn["objective__goal"]), random))


@given(st.integers(0, 2**32), chances, specs, st.sampled_from([None, -20.0, 4.0]), st.sampled_from([0.01, 0.1]))
@QUICK
def test_nothing_goes_wrong_while_operators_die_and_users_edit(
    seed: int, luck: Chances, drawn: dict[str, Any], target: float | None, death: float
) -> None:
    random = Random(seed)
    campaign = Driven(loop(**spec_of(drawn, target)), world(random, luck, drawn["objective__goal"]), random)
    campaign.deaths.chance = death
    campaign.edits = [*EDITS]
    campaign.loss = 0.01
    drive(campaign)


@given(st.integers(0, 2**32), chances, specs, st.sampled_from([None, -20.0, 4.0]), st.sampled_from([0.0, 0.05]))
@settings(QUICK, max_examples=20)
def test_nothing_goes_wrong_while_the_world_refuses_what_is_to_be_made(
    seed: int, luck: Chances, drawn: dict[str, Any], target: float | None, death: float
) -> None:
    random = Random(seed)
    campaign = Driven(loop(**spec_of(drawn, target)), world(random, luck, drawn["objective__goal"]), random)
    campaign.deaths.refusal = 0.3
    campaign.deaths.chance = death
    drive(campaign)
    told = [one.reason for one in campaign.events]
    assert ("QuotaExceeded" in told) is (campaign.deaths.refused > 0) or death
    assert abs(told.count("QuotaExceeded") - told.count("Recovered")) <= 1 or death


@given(
    st.integers(0, 2**32), st.integers(1, 4), st.sampled_from([0.0, 0.05]), st.sampled_from(["Minimize", "Maximize"])
)
@settings(QUICK, max_examples=4)
def test_long_campaigns_with_real_gains_keep_their_promises(seed: int, slots: int, death: float, goal: str) -> None:
    random = Random(seed)
    spec = {"budget__runs": 120, "budget__experiments": 40, "parallelism": slots, "objective__goal": goal}
    spec |= {"evaluation__repeats": 1, "agent__sessionSeconds": 60, "experiment__progressDeadlineSeconds": 12}
    spec["objective__target"] = "20" if goal == "Maximize" else "-20"
    luck = Chances(crash=0.02, hang=0.0, lost=0.02, deadline=0.0, invalid=0.02, broken_verifier=0.0, step=4.0, gain=0.4)
    campaign = Driven(loop(**spec), world(random, luck, goal), random)
    campaign.deaths.chance = death
    ended = drive(campaign)
    assert campaign.store.keeps > 0
    assert ended.status.phase in ("Complete", "Failed")
