"""The process of a session: `python -m rloop_agent` against real servers, its environment, its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.images.agent.llm.conftest import FILES, TOKEN
from tests.support.agent_gateway import Server

KEY = "sk-scripted0123456789abcdef"


@pytest.fixture
def gateway() -> Iterator[Server]:
    one = Server()
    one.gateway.files = dict(FILES) | {"notes.txt": f"somebody's key: {KEY}\n"}
    yield one
    one.close()


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[str]:
    """The scripted model server as its own process; its base URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.models", "--key", TOKEN, "--log", str(tmp_path / "requests.jsonl")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        yield server.stdout.readline().strip()
        server.stdin.close()
        assert server.wait(10) == 0, "it ends with whoever started it"


def environment(gateway: Server, folder: Path, **changes: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "RLOOP_GATEWAY": gateway.url,
        "RLOOP_TOKEN": TOKEN,
        "RLOOP_SESSION": "demo-i0001-s1",
        "RLOOP_HEARTBEAT_SECONDS": "0.05",
        "RLOOP_TRANSCRIPTS": str(folder / "transcripts"),
        "OPENAI_API_KEY": "another key that must not be used",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "HTTP_PROXY": "http://127.0.0.1:9",
    } | changes


def start(env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "rloop_agent"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed.splitlines()]


def test_a_whole_session_as_a_process(gateway: Server, scripted: str, tmp_path: Path) -> None:
    told = environment(gateway, tmp_path, RLOOP_LLM_PROXY=scripted, RLOOP_LLM_MODEL="researcher")
    with start(told) as agent:
        printed, _ = agent.communicate(timeout=60)
    assert agent.returncode == 0, printed
    assert events(printed)[-1]["event"] == "finished"
    assert len(gateway.gateway.requests) == 5
    assert gateway.gateway.handoff
    assert max(gateway.gateway.beats) > 3, "the beat carries the round"
    (transcript,) = (tmp_path / "transcripts").iterdir()
    assert transcript.stat().st_mode & 0o077 == 0
    lines = [json.loads(line) for line in transcript.read_text().splitlines()]
    assert [line["n"] for line in lines] == list(range(1, len(lines) + 1))
    assert TOKEN not in transcript.read_text() + printed


def test_the_token_is_read_again_for_each_call(gateway: Server, scripted: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("an old one that the proxy no longer takes\n")
    told = environment(gateway, tmp_path, RLOOP_LLM_PROXY=scripted, RLOOP_LLM_MODEL="early")
    with start(told | {"RLOOP_TOKEN": "", "RLOOP_TOKEN_FILE": str(token)}) as agent:
        assert agent.stdout is not None
        seen = ""
        for line in agent.stdout:
            seen += line
            if json.loads(line)["event"] == "waiting":
                token.write_text(TOKEN + "\n")
    assert agent.returncode == 0, seen
    assert "the token was rejected" in seen
    assert events(seen)[-1]["handoff"] == "Nothing to do."


@pytest.mark.parametrize("script", ["early+drip", "early+status-500", "sleeper"])
def test_sigterm_ends_in_order(gateway: Server, scripted: str, tmp_path: Path, script: str) -> None:
    """In a call that hangs, in a pause, and in a command."""
    told = environment(gateway, tmp_path, RLOOP_LLM_PROXY=scripted, RLOOP_LLM_MODEL=script)
    with start(told) as agent:
        assert agent.stdout is not None
        seen = ""
        for line in agent.stdout:
            seen += line
            begun = {"early+drip": "window", "early+status-500": "waiting", "sleeper": "window"}[script]
            if json.loads(line)["event"] == begun:
                agent.send_signal(signal.SIGTERM)
        assert agent.wait(20) == 0, seen
    assert gateway.gateway.handoff is not None
    assert "asked to stop" in gateway.gateway.handoff


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"RLOOP_POLICY": "random-search"}, "RLOOP_POLICY and RLOOP_LLM_MODEL are both set"),
        ({"RLOOP_LLM_PROXY": ""}, "RLOOP_LLM_PROXY is not set"),
        ({"RLOOP_LLM_MODEL": ""}, "RLOOP_POLICY is not set"),
    ],
)
def test_a_wrong_environment_is_said(gateway: Server, tmp_path: Path, changes: dict[str, str], words: str) -> None:
    told = environment(gateway, tmp_path, RLOOP_LLM_PROXY="http://127.0.0.1:9/v1", RLOOP_LLM_MODEL="m") | changes
    with start(told) as agent:
        printed, _ = agent.communicate(timeout=30)
    assert agent.returncode == 2
    assert words in events(printed)[-1]["message"]
    assert gateway.gateway.verbs == []


def test_secrets_do_not_reach_the_transcript(gateway: Server, scripted: str, tmp_path: Path) -> None:
    told = environment(gateway, tmp_path, RLOOP_LLM_PROXY=scripted, RLOOP_LLM_MODEL="snoop")
    with start(told) as agent:
        printed, _ = agent.communicate(timeout=60)
    assert agent.returncode == 0, printed
    (transcript,) = (tmp_path / "transcripts").iterdir()
    assert "somebody's key: [redacted]" in transcript.read_text()
    for secret in (KEY, TOKEN):
        assert secret not in transcript.read_text()
