"""The tools of the policy beside a model: which numbers it tries, on which code, within which ranges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.images.agent.llm.conftest import FILES, Call, a_state

from rloop.api.agent import PolicyAgent
from rloop.api.wire import ExperimentView
from rloop_agent.gateway import Refused
from rloop_agent.llm.prompt.brief import brief
from rloop_agent.llm.tools import as_text, registry
from rloop_agent.llm.tools.session_state import SessionState
from rloop_agent.testing import FakeGateway, a_context

PLAIN = {"method": "plain", "loss": "1"}


@pytest.fixture
def gateway() -> FakeGateway:
    return a_gateway("random-search")


def a_gateway(policy: Any, **changes: object) -> FakeGateway:
    given = a_context(editable=["recipe.json", "*.py"], **changes)
    session = given.session.model_copy(
        update={"policy": PolicyAgent(name=policy, seed=3) if policy else None, "max_experiments": 9}
    )
    return FakeGateway(given.model_copy(update={"session": session}), dict(FILES))


def values(told: str) -> list[dict[str, Any]]:
    return [one["values"] for one in json.loads(told)["submitted"]]


def recipes(gateway: FakeGateway) -> list[dict[str, Any]]:
    return [json.loads(one.files["recipe.json"]) for one in gateway.requests.values()]


def direction(call: Call) -> None:
    call("propose_direction", title="Plain", frame=PLAIN)


def test_tune_submits_the_copy_with_numbers_that_the_policy_chooses(
    call: Call, state: SessionState, gateway: FakeGateway
) -> None:
    direction(call)
    before = state.scratch.read("recipe.json")
    told = call("tune", title="How far do numbers go", experiments=3)
    assert len({json.dumps(one) for one in values(told)}) == 3, "all differ"
    assert [{"rate": one["rate"], "depth": one["model"]["depth"]} for one in recipes(gateway)] == values(told)
    assert [one["method"] for one in recipes(gateway)] == ["plain"] * 3, "the frame stays"
    titles = [one.title for one in gateway.requests.values()]
    assert all(one.startswith("How far do numbers go [random-search: rate=") for one in titles)
    assert state.scratch.read("recipe.json") == before
    assert json.loads(told)["experiments_left"] == 6
    assert state.missing() == "", "the copy counts as submitted"
    assert not json.loads(told).get("stopped")


def test_the_numbers_of_the_copy_are_the_first_if_they_are_new(call: Call, gateway: FakeGateway) -> None:
    direction(call)
    call("set_values", values={"rate": 0.5, "depth": 7})
    assert values(call("tune", title="from here", experiments=2))[0] == {"rate": 0.5, "depth": 7}
    assert {"rate": 0.5, "depth": 7} not in values(call("tune", title="again", experiments=4)), "known by now"


def test_changed_code_begins_with_the_known_numbers(call: Call, state: SessionState, gateway: FakeGateway) -> None:
    direction(call)
    call("write_file", path="train.py", content="print('training better')\n")
    told = call("tune", title="better", experiments=3)
    assert values(told)[0] == {"rate": 0.1, "depth": 3}, "the task's numbers were never tried with this code"
    assert {one.files["train.py"] for one in gateway.requests.values()} == {"print('training better')\n"}
    call("write_file", path="train.py", content="print('training otherwise')\n")
    assert values(call("tune", title="otherwise", experiments=1)) == [{"rate": 0.1, "depth": 3}]
    call("write_file", path="train.py", content="print('training better')\n")
    again = values(call("tune", title="better again", experiments=3))
    assert not [one for one in again if one in values(told)], "these were tried with this code"


def test_the_policy_is_told_what_was_measured(tmp_path: Path) -> None:
    """The goal is Minimize: with the values of one slope it proposes low rates, with those of the other high ones."""
    rates = [0.001 * 1.3**step for step in range(26)]
    medians = []
    for slope in (1.0, -1.0):
        measured = [
            ExperimentView(
                name=f"demo-i0000-e{number}",
                title="",
                phase="Rejected",
                frame=PLAIN,
                point={**PLAIN, "rate": repr(rate), "depth": "3"},
                value=slope * number,
                runs=1,
            )
            for number, rate in enumerate(rates)
        ]
        state = a_state(a_gateway("tpe", results=measured), tmp_path / str(slope))
        found = json.loads(registry.call(state, "suggest", '{"count": 5}'))["suggested"]
        medians.append(sorted(one["rate"] for one in found)[2])
    assert medians[0] < 0.03 < medians[1], "the middle of the range, in logarithms"


def test_suggest_writes_and_submits_nothing(call: Call, state: SessionState, gateway: FakeGateway) -> None:
    direction(call)
    before = state.fingerprint()
    found = json.loads(call("suggest", count=4))["suggested"]
    assert len({json.dumps(one) for one in found}) == 4
    assert all(set(one) == {"method", "loss", "rate", "depth"} for one in found), "as set_values takes them"
    assert state.fingerprint() == before
    assert not gateway.requests


def test_ranges_narrow_the_search(call: Call) -> None:
    direction(call)
    told = values(call("tune", title="near", experiments=9, within={"rate": [0.2, "0.3"], "depth": [5]}))
    assert all(0.2 <= one["rate"] <= 0.3 for one in told)
    assert "depth" not in told[0], "it does not vary"
    assert len(told) == 9


def test_a_fixed_value_is_in_the_file(call: Call, gateway: FakeGateway) -> None:
    direction(call)
    call("tune", title="deep", experiments=2, within={"depth": [5]})
    assert [one["model"]["depth"] for one in recipes(gateway)] == [5, 5]


def test_a_part_that_is_used_up_ends_early(call: Call, gateway: FakeGateway) -> None:
    direction(call)
    told = json.loads(call("tune", title="few", experiments=5, within={"rate": [0.1], "depth": [3, 5]}))
    assert sorted(one["values"]["depth"] for one in told["submitted"]) == [4, 5], "the task itself has depth 3"
    assert "were tried" in told["stopped"]
    assert "were tried" in call("tune", title="few", experiments=1, within={"rate": [0.1], "depth": [3, 5]})
    assert "were tried" in call("suggest", within={"rate": [0.1], "depth": [3, 5]})


@pytest.mark.parametrize(
    ("within", "words"),
    [
        ({"rate": [2, 3]}, "within: rate has 2; space.yaml allows rate 0.001..1"),
        ({"width": [4, 8]}, 'within: "width" is no dimension that varies in this frame; there are rate, depth'),
        ({"method": ["plain", "pool"]}, 'within: "method" is no dimension that varies'),
        ({"rate": []}, "within: rate has no value"),
        ({"rate": [0.1, 0.2, 0.3]}, "within: rate is a range: give its two ends, [low, high]"),
        ({"rate": "low"}, "Error: tune: within.rate"),
    ],
)
def test_ranges_that_do_not_fit_are_refused(call: Call, gateway: FakeGateway, within: object, words: str) -> None:
    direction(call)
    assert words in call("tune", title="t", experiments=1, within=within)
    assert not gateway.requests


def test_what_hinders_a_submission_hinders_tune(call: Call, state: SessionState, gateway: FakeGateway) -> None:
    assert "DirectionMissing" in call("tune", title="t", experiments=2)
    direction(call)
    call("set_values", values={"method": "pool"})
    assert 'the direction has "plain"' in call("tune", title="t", experiments=2)
    state.scratch.write("recipe.json", "{")
    assert "not valid JSON" in call("tune", title="t", experiments=2)
    assert "recipe.json" in call("suggest")
    call("reset_files")
    state.scratch.write("space.yaml", "changed: true\n")
    assert "space.yaml is sealed" in call("tune", title="t", experiments=2)
    assert not gateway.requests
    assert state.scratch.read("space.yaml") == "changed: true\n"


def test_a_refusal_in_the_middle_is_told_with_what_was_submitted(call: Call, gateway: FakeGateway) -> None:
    direction(call)
    gateway.refuse = lambda verb, _: (
        Refused("LimitReached", "no more") if verb == "post_experiment" and len(gateway.requests) == 2 else None
    )
    told = json.loads(call("tune", title="t", experiments=5))
    assert len(told["submitted"]) == 2
    assert told["stopped"] == "LimitReached: no more"
    assert call("tune", title="t", experiments=5) == "Refused (LimitReached): no more"


def test_the_experiments_of_a_session_are_a_limit(call: Call, gateway: FakeGateway) -> None:
    direction(call)
    assert len(values(call("tune", title="t", experiments=100))) == 9
    assert call("tune", title="t", experiments=1) == "Error: no experiment is left: finish"


def test_only_a_campaign_with_a_policy_has_the_tools(tmp_path: Path) -> None:
    for policy in ("tpe", None):
        world = a_gateway(policy)
        state = a_state(world, tmp_path / str(policy))
        names = {one["function"]["name"] for one in registry.descriptions(world.given)}
        assert ({"suggest", "tune"} <= names) is (policy is not None)
        assert ("optimiser (tpe)" in brief(world.given, [], 20_000, rounds=True)) is (policy is not None)
        assert ("tune(title, experiments)" in as_text.table(state)) is (policy is not None)
        assert "suggest" not in as_text.table(state), "one decision less for a small model"
    without = a_state(a_gateway(None), tmp_path / "without")
    assert "no optimiser" in registry.call(without, "suggest", "{}")


def test_a_model_with_written_calls_is_offered_what_is_left(call: Call, state: SessionState) -> None:
    def offered() -> dict[str, Any] | None:
        calls = as_text.schema(state, last=False)["anyOf"]
        return next((one["properties"] for one in calls if one["properties"]["name"]["enum"] == ["tune"]), None)

    assert offered() is None, "a direction comes first"
    direction(call)
    call("tune", title="t", experiments=4)
    left = offered()
    assert left is not None
    assert left["arguments"]["properties"]["experiments"]["maximum"] == 5
    call("tune", title="t", experiments=5)
    assert offered() is None
