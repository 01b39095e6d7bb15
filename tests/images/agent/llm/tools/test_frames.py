"""Directions and values that are written into the space's file for the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.images.agent.llm.conftest import FILES, Call, Live, a_state

from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.session_state import SessionState
from rloop_agent.testing import FakeGateway, a_context

SMOOTH = {"method": "smooth", "loss": "2"}


def recipe(state: SessionState) -> object:
    return json.loads(state.scratch.read("recipe.json"))


def test_the_frame_of_a_direction_is_written_into_the_copy(
    call: Call, state: SessionState, gateway: FakeGateway
) -> None:
    call("set_values", values={"rate": 0.5})
    told = call("propose_direction", title="Smooth it", frame=SMOOTH)
    assert "recipe.json now has method smooth, loss 2, rate 0.5, depth 3, width 8\n" in told
    assert "call submit_experiment" in told, "nothing is left to do but to submit it"
    assert recipe(state) == {"method": "smooth", "rate": 0.5, "model": {"loss": 2, "depth": 3}, "width": 8}
    call("submit_experiment", title="smooth")
    assert [json.loads(one.files["recipe.json"])["method"] for one in gateway.requests.values()] == ["smooth"]
    call("propose_direction", title="Plain after all", frame={"method": "plain", "loss": "2"})
    assert "width" not in state.scratch.read("recipe.json"), "what does not exist in the frame is gone"


def test_a_file_that_cannot_be_written_hinders_no_direction(call: Call, state: SessionState) -> None:
    state.scratch.write("recipe.json", "{")
    told = call("propose_direction", title="Smooth it", frame=SMOOTH)
    assert "admitted" in told
    assert "recipe.json is not valid JSON" in told.splitlines()[-1]
    assert state.scratch.read("recipe.json") == "{"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"rate": 2}, "Error: rate is 2; space.yaml allows rate 0.001..1"),
        ({"depth": 2.5}, "Error: depth is 2.5; space.yaml allows depth 1..9"),
        ({"method": "psychic"}, "Error: method is 'psychic'; space.yaml allows method plain|smooth|pool"),
        ({"width": 4}, "Error: width does not exist in this frame, but method, loss, rate, depth do"),
        ({"learning": 1}, 'Error: there is no dimension "learning"; there are method, loss, rate, depth, width'),
        ({"rate": []}, "Error: set_values: values.rate"),
        ({"rate": 0.1}, "nothing changed: recipe.json has these values already"),
        ({}, "nothing changed"),
    ],
)
def test_values_that_do_not_fit_are_refused(call: Call, state: SessionState, values: object, words: str) -> None:
    before = state.scratch.read("recipe.json")
    assert call("set_values", values=values).startswith(words)
    assert state.scratch.read("recipe.json") == before


def test_values_may_be_written_as_text(call: Call, state: SessionState) -> None:
    call("set_values", values={"rate": "0.25", "depth": "7", "loss": "2"})
    assert recipe(state) == {"method": "plain", "rate": 0.25, "model": {"loss": 2, "depth": 7}}


def test_a_key_that_the_task_has_and_the_copy_has_not_is_told(call: Call) -> None:
    told = call("edit_file", path="recipe.json", old='"rate"', new='"learning_rate"')
    assert 'recipe.json: "rate" is missing, and the task has it' in told
    assert "is not submitted" in call("set_values", values={"rate": 0.2}), "which mends it"


def test_a_recipe_that_the_task_does_not_have_may_be_made(tmp_path: Path) -> None:
    world = FakeGateway(a_context(), {name: text for name, text in FILES.items() if name != "recipe.json"})
    told = registry.call(a_state(world, tmp_path), "write_file", '{"path": "recipe.json", "content": "{}"}')
    assert "is not submitted" in told


def test_an_edit_that_does_not_fit_shows_a_short_file(call: Call, state: SessionState) -> None:
    told = call("edit_file", path="recipe.json", old="e", new="x")
    assert "give a text that occurs exactly once" in told
    assert state.scratch.read("recipe.json") in told
    call("write_file", path="src/long.py", content="a = 1\n" * 500)
    assert "It says" not in call("edit_file", path="src/long.py", old="b", new="c")
    assert "changes nothing" in call("edit_file", path="src/long.py", old="a", new="a")


def test_two_calls_that_undo_each_other_are_a_loop(live: Live, gateway: FakeGateway) -> None:
    lived = live("seesaw", gateway)
    loops = ["This is a loop" in result for _, result in lived.results]
    assert loops[:6] == [False, False, False, False, True, True]
    assert "repeated the same calls" in lived.outcome.handoff
