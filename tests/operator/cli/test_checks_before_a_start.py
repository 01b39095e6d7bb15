"""What `rloop validate` accepts starts, and what it rejects does not: at the first start and at every later one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operator.cli.conftest import SPACE, Rloop

Example = Callable[..., Path]


def dimensions(**changes: Any) -> str:
    """The example's space.yaml with changes in its dimension."""
    space: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SPACE))
    space["dimensions"][0] |= changes
    return yaml.safe_dump(space)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("space.yaml", dimensions(key="raet"), 'has no "raet": did you mean "rate"?'),
        ("space.yaml", dimensions(default=0.5), 'default is 0.5, but "recipe.json" has 1.0'),
        ("space.yaml", "- a list\n", "space.yaml: "),
        ("recipe.json", '{"rate": "fast"}', '"rate" must be a number'),
        ("recipe.json", "[]", "recipe.json: "),
    ],
)
def test_a_task_that_would_be_rejected_is_rejected_by_validate_and_mended_in_place(
    rloop: Rloop, example: Example, tmp_path: Path, file: str, content: str, said: str
) -> None:
    manifest = example()
    right = (manifest.parent / "task" / file).read_text()
    (manifest.parent / "task" / file).write_text(content)
    for command in ("validate", "run"):
        done = rloop(command, manifest)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert said in done.stderr
    assert not (tmp_path / "runs").exists()
    (manifest.parent / "task" / file).write_text(right)
    assert rloop("run", manifest).returncode == 3


def test_a_folder_that_only_the_start_can_reject_is_mended_in_place(rloop: Rloop, example: Example) -> None:
    """The run folder inside the task: `rloop validate` does not know it."""
    manifest = example()
    inside = rloop("run", manifest, "--dir", str(manifest.parent / "task/run"))
    assert inside.returncode == 2
    assert "lies inside the task; give one outside it with --dir" in inside.stderr
    assert "Pending" not in inside.stdout


@pytest.mark.parametrize(
    ("agent", "variables", "said"),
    [
        ({"client": {"name": "codex", "login": "Own"}}, {}, "spec.agent.client.name: there is no codex in PATH"),
        ({"image": "x", "command": ["./agent"]}, {}, 'spec.agent.command[0]: there is no executable program "'),
        (
            {"policy": {"name": "random-search"}, "env": [{"name": "A", "fromEnv": "TOKEN_OF_MINE"}]},
            {"TOKEN_OF_MINE": "x"},
            "spec.agent.env[0].fromEnv: TOKEN_OF_MINE is not set in your environment",
        ),
    ],
    ids=["client", "command", "variable"],
)
def test_what_a_session_needs_is_looked_for_again_before_a_campaign_continues(
    rloop: Rloop,
    example: Example,
    tmp_path: Path,
    agent: dict[str, Any],
    variables: dict[str, str],
    said: str,
) -> None:
    manifest = example(agent=agent, suspend=True)
    programs = [tmp_path / "bin/codex", manifest.parent / "agent"]
    for program in programs:
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    started = rloop("run", manifest, PATH=path, **variables)
    assert "Suspended" in started.stdout, started.stderr
    for program in programs:
        program.unlink()
    again = rloop("run", example(agent=agent), PATH=path)
    assert (again.returncode, again.stdout) == (2, "")
    assert said in again.stderr
