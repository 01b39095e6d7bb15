"""Fixtures for the agent that thinks with a model: the scripted server, a session against a gateway in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.models.server import ModelServer

from rloop.api.wire import TaskFiles
from rloop_agent.llm import session
from rloop_agent.llm.model.endpoint import Endpoint
from rloop_agent.llm.model.transcript import Transcript
from rloop_agent.llm.tools import registry
from rloop_agent.llm.tools.scratch import Scratch
from rloop_agent.llm.tools.session_state import SessionState
from rloop_agent.log import silent
from rloop_agent.session import Outcome, Surroundings
from rloop_agent.testing import RECIPE, SPACE, FakeGateway, a_context

TOKEN = "session-token-0123456789"
FILES = {
    "recipe.json": RECIPE,
    "space.yaml": yaml.safe_dump(SPACE.model_dump(mode="json", exclude_none=True)),
    "train.py": "print('training')\n",
}


@pytest.fixture(scope="session")
def models() -> Iterator[ModelServer]:
    """A scripted model server for all tests that need no settings of their own."""
    with serving(ModelServer()) as server:
        yield server


class serving:  # noqa: N801 - reads like a function where it is used
    """Runs a model server in a thread."""

    def __init__(self, server: ModelServer) -> None:
        self.server = server

    def __enter__(self) -> ModelServer:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Clock:
    """Time passes only while somebody waits."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)
    stopped: bool = False

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return self.stopped


@dataclass
class Lived:
    """A session that is over."""

    outcome: Outcome
    lines: list[dict[str, Any]]
    """Of its transcript."""

    @property
    def results(self) -> list[tuple[str, str]]:
        """What each tool call gave: (tool, result)."""
        return [
            (line["tool"], line["message"]["content"])
            for line in self.lines
            if line["kind"] == "message" and line["message"]["role"] == "tool"
        ]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("event") == name]

    def said(self) -> list[str]:
        """What the model was told by a user's message, after the brief."""
        return [
            line["message"]["content"]
            for line in self.lines
            if line["kind"] == "message" and line["message"]["role"] == "user"
        ][1:]


Live = Callable[..., Lived]


@pytest.fixture
def live(models: ModelServer, tmp_path: Path) -> Live:
    """Lives one session of a script against a gateway in memory."""

    def go(model: str, gateway: FakeGateway, server: ModelServer | None = None, **around: Any) -> Lived:
        folder = tmp_path / "transcripts"
        around.setdefault("wait", Clock().wait)
        endpoint = Endpoint((server or models).url, model, lambda: TOKEN)
        try:
            outcome = session.run(gateway, endpoint, Surroundings(**around), Transcript(folder, lambda: TOKEN, silent))
        finally:
            endpoint.close()
        newest = max(folder.iterdir(), key=lambda path: int(path.stem.rpartition("-")[2]))
        return Lived(outcome, [json.loads(line) for line in newest.read_text().splitlines()])

    return go


Call = Callable[..., str]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway(a_context(editable=["recipe.json", "src/**"]), dict(FILES))


@pytest.fixture
def state(gateway: FakeGateway, tmp_path: Path) -> SessionState:
    return a_state(gateway, tmp_path)


def a_state(gateway: FakeGateway, tmp_path: Path, clock: Clock | None = None) -> SessionState:
    task = TaskFiles(files=gateway.files, binary=["weights.bin"])
    context = gateway.given
    scratch = Scratch(tmp_path / "scratch", task, context.editable, context.handoff.drafts if context.handoff else {})
    scratch.lay(context.incumbent.name, context.incumbent.files)
    wait = (clock or Clock()).wait
    return SessionState(gateway, context, scratch, wait=wait, stop=lambda: False, seconds_left=lambda: 100.0)


@pytest.fixture
def call(state: SessionState) -> Call:
    return lambda name, **arguments: registry.call(state, name, json.dumps(arguments))
