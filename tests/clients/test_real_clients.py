"""A whole session in each coding agent that the LLM proxy serves: the real programs, with a scripted model.

Run by `make test-clients`, which installs them (1 GB) in the versions of package-lock.json; skipped without them. The
model is the script of tests/models/coder.py: it works with the client's own shell and our tools.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.models.server import ModelServer

from rloop.api.agent import PROGRAMS, ClientName
from rloop.api.iteration import ResearchIteration
from rloop_operator.local.storage.store import LocalStore

EXAMPLE = Path(__file__).parents[2] / "examples/05-own-agent"
PROGRAMS_DIR = Path(os.environ.get("RLOOP_TEST_CLIENTS", Path(__file__).parent / "node_modules")) / ".bin"
SERVED = [name for name, one in PROGRAMS.items() if one.proxied]
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PROGRAMS_DIR.is_dir(), reason="make test-clients installs the clients"),
]


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def campaign(folder: Path, name: ClientName, model: ModelServer) -> subprocess.CompletedProcess[str]:
    """`rloop run` of example 05 with this client: two experiments a session, one session."""
    base = shutil.copytree(EXAMPLE, folder / "example", ignore=shutil.ignore_patterns("__pycache__"))
    document: dict[str, Any] = yaml.safe_load((base / "loop.yaml").read_text())
    llm = {"provider": "main", "model": "coder"}
    document["spec"]["agent"] = {"client": {"name": name}, "llm": llm, "maxExperiments": 2, "sessionSeconds": 300}
    document["spec"]["budget"] = {"runs": 8}
    (base / "loop.yaml").write_text(yaml.safe_dump(document))
    path = os.pathsep.join([str(PROGRAMS_DIR), str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, "-m", "rloop_operator.cli", "run", str(base / "loop.yaml"), "--dir", str(folder / "run")],
        env={**os.environ, "PATH": path, "RLOOP_LLM_URL": model.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


@pytest.mark.parametrize("name", SERVED)
def test_a_client_plays_a_session_to_its_end(name: ClientName, model: ModelServer, tmp_path: Path) -> None:
    done = campaign(tmp_path, name, model)
    assert done.returncode == 3, done.stderr + done.stdout
    with closing(LocalStore(tmp_path / "run")) as store:
        first = asyncio.run(store.list(ResearchIteration, "own-agent"))[0]
    (session,) = first.status.sessions
    assert (session.phase, session.reason, session.attempt) == ("Finished", "Completed", 1)
    reported = first.status.reported
    assert len(reported.directions) == 1
    assert [one.text for one in reported.handoffs] == ["Turned the numbers 2 times."]
    assert reported.usage[0].calls >= 6
    assert "2 withdrawn" in done.stdout
    transcript = (tmp_path / f"run/transcripts/{session.name}/transcript-1.jsonl").read_text()
    kinds = [json.loads(line)["kind"] for line in transcript.splitlines()]
    assert kinds[0] == "prompt"
    assert kinds.count("output") > 5


def test_claude_code_that_a_person_has_started_takes_a_session(model: ModelServer, tmp_path: Path) -> None:
    """The campaign's own agent is that of the example. It may have had sessions before Claude Code has started."""
    base = shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
    document = yaml.safe_load((base / "loop.yaml").read_text())
    document["spec"]["agent"]["maxExperiments"] = 2
    document["spec"]["budget"] = {"runs": 200}
    (base / "loop.yaml").write_text(yaml.safe_dump(document))
    run, work = tmp_path / "run", tmp_path / "work"
    work.mkdir()
    rloop = [sys.executable, "-m", "rloop_operator.cli"]
    path = os.pathsep.join([str(PROGRAMS_DIR), str(Path(sys.executable).parent), os.environ["PATH"]])
    server = {"command": rloop[0], "args": [*rloop[1:], "mcp", "--join", "--dir", str(run)]}
    (work / "mcp.json").write_text(json.dumps({"mcpServers": {"rloop": server}}))
    claude = ["claude", "--bare", "--model", "coder", "--print", "Take a session, and play it to its end."]
    claude += ["--mcp-config=mcp.json", "--strict-mcp-config", "--permission-mode=dontAsk", "--tools=Bash"]
    claude += ["--allowedTools=mcp__rloop,Bash"]
    own = {"ANTHROPIC_BASE_URL": model.url.removesuffix("/v1"), "ANTHROPIC_API_KEY": "none"}
    own |= {"MCP_CONNECTION_NONBLOCKING": "false", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    command = [*rloop, "run", str(base / "loop.yaml"), "--dir", str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as campaign:
        while not (run / "loop.db").exists():
            time.sleep(0.1)
        environment = {**os.environ, **own, "PATH": path, "HOME": str(work)}
        done = subprocess.run(
            claude, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        campaign.send_signal(signal.SIGINT)
        printed, _ = campaign.communicate(timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert campaign.returncode == 130, printed
    with closing(LocalStore(run)) as store:
        iterations = asyncio.run(store.list(ResearchIteration, "own-agent"))
    (joined,) = [one.status for one in iterations if (work / one.spec.sessions[0].name).exists()]
    assert [one.phase for one in joined.sessions] == ["Finished"], done.stdout
    assert [one.text for one in joined.reported.handoffs] == ["Turned the numbers 2 times."]
    assert (work / joined.sessions[0].name / "task" / "recipe.json").exists()
