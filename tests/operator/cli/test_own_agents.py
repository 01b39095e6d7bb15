"""Campaigns whose agent is not ours: the example in the standard library, and a framework that knows MCP alone."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.models.server import ModelServer

from rloop.api.iteration import ResearchIteration
from rloop_operator.local.storage.store import LocalStore

Rloop = Callable[..., subprocess.CompletedProcess[str]]
EXAMPLE = Path(__file__).parents[3] / "examples/05-own-agent"


def iterations(folder: Path) -> list[ResearchIteration]:
    with closing(LocalStore(folder)) as store:
        return asyncio.run(store.list(ResearchIteration, "own-agent"))


def in_order(found: list[ResearchIteration]) -> bool:
    """No session had to be replaced, and each that ended by itself left a word for the next."""
    sessions = [one for iteration in found for one in iteration.status.sessions]
    completed = {one.name for one in sessions if one.reason == "Completed"}
    left = {one.session for iteration in found for one in iteration.status.reported.handoffs}
    lived = all(one.attempt == 1 and one.phase != "Failed" for one in sessions)
    return lived and bool(completed) and completed <= left  # one that the campaign's end closed may have left one too


def test_the_example_meets_its_target_after_a_pivot(rloop: Rloop, tmp_path: Path) -> None:
    done = rloop("run", EXAMPLE / "loop.yaml", "--dir", "run", "--seed", "1")
    assert done.returncode == 0, done.stderr + done.stdout
    assert "(after a pivot) rate alone" in done.stdout
    found = iterations(tmp_path / "run")
    assert in_order(found)
    first = found[0].status.reported
    assert [one.title for one in first.directions] == ["batch alone"]
    assert first.findings[0].evidence == [f"own-agent-i0001-e{number}" for number in (1, 2, 3, 4)]


def test_an_agent_of_another_maker_finds_its_way_over_mcp(rloop: Rloop, tmp_path: Path) -> None:
    """openai-agents drives the session; the model behind the proxy is scripted (tests/models/tool_user.py)."""
    log = tmp_path / "requests.jsonl"
    base = shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((base / "loop.yaml").read_text())
    with ModelServer(log=log) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        llm = {"provider": "main", "model": "tool-user", "maxTokensPerSession": 100_000_000}
        command = [sys.executable, "./mcp_agent.py"]
        document["spec"]["agent"] |= {"command": command, "llm": llm, "maxExperiments": 2, "maxRounds": 120}
        document["spec"] |= {"budget": {"runs": 6}}
        (base / "loop.yaml").write_text(yaml.safe_dump(document))
        done = rloop("run", base / "loop.yaml", "--dir", "run", "--seed", "1", RLOOP_LLM_URL=server.url)
        server.shutdown()
    assert done.returncode == 3, done.stderr + done.stdout
    found = iterations(tmp_path / "run")
    assert in_order(found)
    reported = found[0].status.reported
    assert reported.usage[0].calls > 5
    assert reported.handoffs[0].text == "2 of 2 were measured."
    assert reported.findings[0].evidence == ["own-agent-i0001-e1", "own-agent-i0001-e2"]
    requests = [json.loads(line) for line in log.read_text().splitlines()]
    assert {one["function"]["name"] for one in requests[0]["tools"]} >= {"read_context", "submit_experiment"}
    assert any('"reason":"Sealed"' in str(message["content"]) for message in requests[-1]["messages"])


@pytest.mark.parametrize("file", ["agent.py", "mcp_agent.py"])
def test_the_documented_programs_are_short_and_know_nothing_of_ours(file: str) -> None:
    text = (EXAMPLE / file).read_text()
    assert "import rloop" not in text
    assert "from rloop" not in text
