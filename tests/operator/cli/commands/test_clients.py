"""What `rloop validate` says of a coding agent: whether its program is there, and which version."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operator.cli.conftest import Rloop

EXAMPLE = Path(__file__).parents[4] / "examples/05-own-agent"
Manifest = Callable[[dict[str, Any]], Path]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Example 05 with another agent."""

    def written(agent: dict[str, Any]) -> Path:
        base = shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
        document = yaml.safe_load((base / "loop.yaml").read_text())
        document["spec"]["agent"] = agent
        (base / "loop.yaml").write_text(yaml.safe_dump(document))
        return base / "loop.yaml"

    return written


def with_client(folder: Path, name: str, program: str) -> str:
    """A PATH that begins with a program of this name."""
    (folder / "bin").mkdir()
    file = folder / "bin" / name
    file.write_text(program)
    file.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"


OF_PROXY = {"client": {"name": "codex"}, "llm": {"provider": "main", "model": "m"}}


def test_the_version_is_shown(rloop: Rloop, manifest: Manifest, tmp_path: Path) -> None:
    path = with_client(tmp_path, "codex", "#!/bin/sh\necho codex-cli 0.171.0\n")
    done = rloop("validate", manifest(OF_PROXY), PATH=path, RLOOP_LLM_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 0, done.stderr
    assert "note: spec.agent.client.name: codex --version: codex-cli 0.171.0" in done.stderr
    assert "codex (m)" in done.stdout


def test_a_program_that_does_not_start_is_told(rloop: Rloop, manifest: Manifest, tmp_path: Path) -> None:
    path = with_client(tmp_path, "codex", "#!/bin/sh\necho native binary not installed >&2\nexit 1\n")
    done = rloop("validate", manifest(OF_PROXY), PATH=path, RLOOP_LLM_URL="http://127.0.0.1:1/v1")
    assert "codex --version exits with 1: native binary not installed" in done.stderr


@pytest.mark.parametrize("command", ["validate", "run"])
def test_a_client_that_is_not_installed_is_an_error(rloop: Rloop, manifest: Manifest, command: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin:/bin"
    done = rloop(command, manifest(OF_PROXY), PATH=path, RLOOP_LLM_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 2
    assert "there is no codex in PATH; install it: npm install -g @openai/codex" in done.stderr


def test_variables_of_the_agent_are_looked_for(rloop: Rloop, manifest: Manifest, tmp_path: Path) -> None:
    variables = [{"name": "A", "fromEnv": "NOT_SET"}, {"name": "B", "secretKeyRef": {"name": "s", "key": "k"}}]
    path = with_client(tmp_path, "codex", "#!/bin/sh\n")
    file = manifest({**OF_PROXY, "env": variables})
    done = rloop("validate", file, PATH=path, RLOOP_LLM_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 2
    assert "spec.agent.env[0].fromEnv: NOT_SET is not set in your environment" in done.stderr
    assert "spec.agent.env[1].fromEnv: is missing" in done.stderr
    done = rloop("validate", file, "--for", "cluster")
    assert "spec.agent.env[0].secretKeyRef: is missing" in done.stderr
    assert "spec.agent.client: is not supported in a cluster yet" in done.stderr


def test_a_path_of_the_agent_is_where_its_program_is_looked_for(
    rloop: Rloop, manifest: Manifest, tmp_path: Path
) -> None:
    path = with_client(tmp_path, "codex", "#!/bin/sh\necho codex-cli 0.171.0\n")
    file = manifest({**OF_PROXY, "env": [{"name": "PATH", "value": "/no/such"}]})
    done = rloop("validate", file, PATH=path, RLOOP_LLM_URL="http://127.0.0.1:1/v1")
    assert done.returncode == 2
    assert "there is no codex in the PATH of spec.agent.env, /no/such; install it" in done.stderr
