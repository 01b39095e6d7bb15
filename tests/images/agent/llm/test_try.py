"""A run by hand: the variables of a run in a command, and the tool `try`."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from tests.images.agent.llm.conftest import FILES, a_state

from rloop.api.session_context import RunView
from rloop_agent.llm.tools import as_text, registry
from rloop_agent.llm.tools.session_state import SessionState
from rloop_agent.testing import FakeGateway, a_context

TRAIN = """\
import json, os, random
chance = random.Random(int(os.environ["RLOOP_SEED"]))
with open(os.environ["RLOOP_ARTIFACTS"] + "/estimates.json", "x") as file:
    json.dump([chance.random(), os.environ.get("OWN"), os.environ.get("RLOOP_SMOKE")], file)
with open("recipe.json", "a") as file:
    file.write(" ")
print("trained with", json.load(open("recipe.json"))["rate"])
"""


def state_with(tmp_path: Path, run: dict[str, Any] | None, train: str = TRAIN) -> SessionState:
    context = a_context(run=run and RunView(**run))
    return a_state(FakeGateway(context, {**FILES, "train.py": train}), tmp_path)


def tried(state: SessionState, **arguments: Any) -> str:
    state.seconds_left = lambda: 60.0
    return registry.call(state, "try", json.dumps(arguments))


RUN = {"command": ["python3", "train.py"], "env": {"OWN": "value"}, "seconds": 60}


def test_a_command_may_start_the_task_as_a_run_would(tmp_path: Path) -> None:
    state = state_with(tmp_path, RUN)
    for _ in range(2):
        answer = registry.call(
            state, "run_command", '{"command": "python3 train.py; cat $RLOOP_ARTIFACTS/estimates.json"}'
        )
        assert answer.startswith("exit code 0"), answer
        assert "trained with 0.1" in answer
        assert "estimates.json  " in answer.partition("left in RLOOP_ARTIFACTS")[2], "the folder is fresh each time"


def test_try_runs_the_task_once_and_says_what_it_left(tmp_path: Path) -> None:
    state = state_with(tmp_path, RUN)
    changed = FILES["recipe.json"].replace("0.1", "0.7")
    state.scratch.write("recipe.json", changed)
    answer = tried(state)
    assert answer.startswith("unverified, one run with seed 1: exit code 0"), answer
    assert "trained with 0.7" in answer
    assert "estimates.json  " in answer
    assert "recipe.json differs from demo-b01 and is not submitted" in answer
    assert state.scratch.read("recipe.json") == changed, "what a run writes beside its artifacts stays out of the copy"
    assert not state.proposed
    assert "post_experiment" not in state.gateway.verbs  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("train", "arguments", "words"),
    [
        ("import nothing_like_this", {}, "No module named"),
        ("print('done')", {}, "it left nothing in RLOOP_ARTIFACTS for the scorer"),
        ("import os; print('seed', os.environ['RLOOP_SEED'])", {"seed": 7}, "seed 7"),
        ("import os; print('smoke', os.environ['RLOOP_SMOKE'])", {"smoke": True}, "smoke 1"),
        ("import time; time.sleep(60)", {"seconds": 1}, "longer than 1"),
        ("import os; print('token', os.environ.get('RLOOP_TOKEN'))", {}, "token None"),
    ],
)
def test_try_tells_how_the_run_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: str, arguments: dict[str, Any], words: str
) -> None:
    monkeypatch.setenv("RLOOP_TOKEN", "secret")
    assert words in tried(state_with(tmp_path, RUN, train), **arguments)


def test_a_pipe_among_its_files_is_no_part_of_a_try(tmp_path: Path) -> None:
    state = state_with(tmp_path, RUN)
    registry.call(state, "run_command", '{"command": "mkfifo pipe"}')
    assert tried(state).startswith("unverified, one run with seed 1: exit code 0")


def test_a_full_disk_is_told_and_ends_no_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    assert tried(state_with(tmp_path, RUN)).startswith("Error: try: OSError: [Errno 28] No space left")


def test_try_keeps_to_the_time_limit_of_a_run(tmp_path: Path) -> None:
    state = state_with(tmp_path, {**RUN, "seconds": 1}, "import time; time.sleep(60)")
    assert "longer than 1" in tried(state)


def test_a_run_of_several_processes_is_not_tried(tmp_path: Path) -> None:
    state = state_with(tmp_path, None)
    assert "submit_experiment with smoke" in tried(state)
    assert "try" not in [one["function"]["name"] for one in registry.descriptions(state.context)]


def test_a_small_model_is_offered_one_try_of_what_it_has_written(tmp_path: Path) -> None:
    state = state_with(tmp_path, RUN)

    def offered() -> bool:
        return '"try"' in json.dumps(as_text.schema(state, last=False))

    registry.call(state, "propose_direction", '{"title": "Faster", "frame": {"method": "plain", "loss": "1"}}')
    assert not offered(), "there is no change to try"
    registry.call(state, "set_values", '{"values": {"rate": 0.2}}')
    assert offered()
    tried(state)
    assert not offered(), "it would show the same"
    registry.call(state, "set_values", '{"values": {"rate": 0.3}}')
    assert offered()
