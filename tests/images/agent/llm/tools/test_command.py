"""The tool run_command: what it shows, its limits, and that nothing is left of what it started."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.images.agent.llm.conftest import Call

from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.command import Limits, memory
from rloop_agent.llm.tools.session_state import SessionState


def test_a_command_runs_in_the_scratch_without_the_token(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLOOP_TOKEN", "very-secret")
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    answer = call("run_command", command="ls; env; echo oops >&2; exit 3")
    assert answer.startswith("exit code 3")
    assert "recipe.json" in answer
    assert "oops" in answer
    assert "very-secret" not in answer
    assert "RLOOP_TOKEN" not in answer


@pytest.mark.parametrize(
    ("limits", "command", "words"),
    [
        ({}, "sleep 60", "longer than 1.1 s"),
        ({"processes": 8}, "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait", "more than 8 processes"),
        ({"memory_bytes": 100 * 2**20}, "{python} -c 'x = bytearray(300 * 2**20)'", "MemoryError"),
        ({"memory_bytes": 120 * 2**20}, "for i in 1 2 3 4; do {python} -c '{hog}' & done; wait", "bytes of memory"),
        ({"file_bytes": 10_000}, "yes", "exit code"),
        ({}, "kill -9 $PPID", "supervisor was killed"),
        ({}, "setsid sleep 60 & sleep 0.2", "1 leftover processes were stopped"),
    ],
)
def test_a_command_meets_its_limits(state: SessionState, limits: dict[str, int], command: str, words: str) -> None:
    state.limits = replace(Limits(), **limits)
    state.seconds_left = lambda: 1.0999 if words.startswith("longer") else 30.0
    hog = 'import time; x = bytearray(b"x") * (60 * 2**20); time.sleep(60)'
    told = command.replace("{python}", sys.executable).replace("{hog}", hog)
    answer = registry.call(state, "run_command", json.dumps({"command": told}))
    assert words in answer, answer
    assert len(answer) < state.result_max + 500


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, 4 * 2**30), ("max\n", 4 * 2**30), ("1000000000\n", 700_000_000), (f"{2**40}\n", 4 * 2**30)],
)
def test_a_command_leaves_memory_to_its_session(tmp_path: Path, content: str | None, expected: int) -> None:
    if content is not None:
        (tmp_path / "memory.max").write_text(content)
    assert memory(tmp_path / "memory.max") == expected


def test_a_fork_bomb_is_contained_and_cleaned_up(state: SessionState) -> None:
    """It has a bottom, so that a failure of this test is no catastrophe: 512 processes."""
    state.limits = Limits(processes=32)
    marker = f"bomb{os.getpid()}"
    bomb = f"{marker}() {{ [ $1 -gt 0 ] && {{ {marker} $(($1-1)) & {marker} $(($1-1)) & }}; sleep 30; }}; {marker} 8"
    answer = registry.call(state, "run_command", json.dumps({"command": bomb}))
    assert "stopped: it had more than 32 processes" in answer
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert marker not in left


def test_fifty_megabytes_of_output_are_shown_at_their_ends(call: Call, state: SessionState) -> None:
    answer = call("run_command", command="echo first; yes | head -c 50000000; echo last")
    assert len(answer) < state.result_max + 500
    assert "first" in answer
    assert "last" in answer
    assert re.search(r"\d+ bytes omitted", answer) or "characters omitted" in answer


def test_the_end_of_the_session_ends_a_command(state: SessionState) -> None:
    state.stop = lambda: True
    assert "the session is ending" in registry.call(state, "run_command", json.dumps({"command": "sleep 60"}))
    state.seconds_left = lambda: 0.5
    assert "time is nearly over" in registry.call(state, "run_command", json.dumps({"command": "true"}))


@pytest.fixture(autouse=True)
def no_command_is_left() -> Iterator[None]:
    yield
    children: Any = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True, check=False
    ).stdout
    assert "confine.py" not in children
