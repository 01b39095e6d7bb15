"""`rloop mcp --join`: an agent that a person has started takes sessions of a running campaign."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextContent
from tests.operator.cli.test_ctrl_c import Running

from rloop.api.iteration import ResearchIteration, SessionStatus
from rloop_operator.cli.sources.read_folder import look

Example = Callable[..., Path]
Call = Callable[..., Awaitable[str]]
TRAIN = 'until [ -e {gate} ]; do sleep 0.05; done; grep -o "[0-9.]*" recipe.json | head -1 >"$RLOOP_ARTIFACTS/loss"'
"""The first session opens once the baseline is measured, and that waits for the gate."""
SMALL = {"evaluation__baselineRuns": 3, "budget__experiments": 6, "budget__runs": 60, "parallelism": 1}


@contextlib.asynccontextmanager
async def joining(folder: Path, workspace: Path) -> AsyncIterator[Call]:
    """An MCP client that is not ours, as a coding agent would start the server."""
    workspace.mkdir(exist_ok=True)
    command = ["-m", "rloop_operator.cli", "mcp", "--join", "--dir", str(folder)]
    environment = {"PATH": os.environ["PATH"], "HOME": str(workspace)}
    started = StdioServerParameters(command=sys.executable, args=command, env=environment, cwd=workspace)
    async with stdio_client(started) as (reading, writing), ClientSession(reading, writing) as client:
        await client.initialize()

        async def call(name: str, **arguments: Any) -> str:
            (part,) = (await client.call_tool(name, arguments)).content
            assert isinstance(part, TextContent)
            return part.text

        yield call


async def taken(call: Call, folder: Path) -> str:
    """The text of the first session, which was taken: the gate opens once somebody waits."""
    waiting = asyncio.ensure_future(call("take_session", seconds=50))
    await asyncio.to_thread(once_there, folder / "join" / "request")
    gate(folder).touch()
    return await waiting


def once_there(file: Path) -> None:
    while not file.exists():
        time.sleep(0.05)


def gate(folder: Path) -> Path:
    return folder.parents[1] / "gate"


@pytest.fixture
def running(example: Example, tmp_path: Path) -> Any:
    """A campaign of random search with two experiments a session."""
    agent = {"policy": {"name": "random-search"}, "maxExperiments": 2}
    train = TRAIN.format(gate=gate(tmp_path / "runs/demo"))
    campaign = Running(example(train, agent=agent, **SMALL), tmp_path)
    campaign.until((campaign.folder / "loop.db").exists)
    yield campaign
    if campaign.process.poll() is None:
        campaign.interrupt()


def sessions(folder: Path) -> dict[str, SessionStatus]:
    iterations: list[ResearchIteration] = list(look(folder).snapshot.iterations.values())
    return {one.name: one for iteration in iterations for one in iteration.status.sessions}


def test_a_person_s_agent_takes_a_session_and_gives_it_back(running: Running, tmp_path: Path) -> None:
    async def play() -> None:
        async with joining(running.folder, tmp_path / "mine") as call:
            assert "call take_session first" in await call("submit_experiment", title="too early")
            told = await taken(call, running.folder)
            assert told.startswith("You have session demo-i0001-s1. Your copy of the task is ")
            assert "# The campaign demo, session demo-i0001-s1" in told
            assert "finish it first" in await call("take_session")
            recipe = tmp_path / "mine" / "demo-i0001-s1" / "task" / "recipe.json"
            assert "admitted" in await call("propose_direction", title="by hand", hypothesis="a smaller rate")
            recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"rate": 0.125}))
            assert "demo-i0001-e1" in await call("submit_experiment", title="a rate of an eighth")
            assert "Call take_session for the next one" in await call("finish", handoff="Tried an eighth.")
            assert "call take_session first" in await call("read_results")

    asyncio.run(play())
    running.until(lambda: "demo-i0002-s1" in sessions(running.folder))
    first = sessions(running.folder)["demo-i0001-s1"]
    assert (first.phase, first.reason) == ("Finished", "Completed")
    found = look(running.folder).snapshot
    assert [one.spec.title for one in found.experiments.values() if one.spec.session == first.name] == [
        "a rate of an eighth"
    ]
    (handoff,) = found.iterations["demo-i0001"].status.reported.handoffs
    assert handoff.text == "Tried an eighth."
    running.until(lambda: any(one.spec.iteration == 2 for one in look(running.folder).snapshot.experiments.values()))
    secrets = [one for one in (running.folder / "join").iterdir() if b"RLOOP_TOKEN" in one.read_bytes()]
    assert not secrets, "the token is gone"


def test_an_agent_that_leaves_costs_its_session_and_nothing_else(running: Running, tmp_path: Path) -> None:
    async def play() -> None:
        async with joining(running.folder, tmp_path / "mine") as call:
            assert "demo-i0001-s1" in await taken(call, running.folder)

    asyncio.run(play())
    running.until(lambda: "demo-i0002-s1" in sessions(running.folder))
    found = look(running.folder).snapshot
    assert sessions(running.folder)["demo-i0001-s1"].phase == "Failed"
    assert found.iterations["demo-i0001"].status.outcome == "Void"
    assert found.loop.status.stale_count == 0


def test_only_one_agent_waits_for_a_session(running: Running, tmp_path: Path) -> None:
    async def play() -> None:
        async with (
            joining(running.folder, tmp_path / "one") as first,
            joining(running.folder, tmp_path / "two") as second,
        ):
            assert "demo-i0001-s1" in await taken(first, running.folder)
            assert (await second("take_session", seconds=1)).startswith("Not yet"), "the first one has it"
            waiting = asyncio.ensure_future(second("take_session", seconds=50))
            await first("finish", handoff="x")
            assert "the next one" in await first("finish", handoff="There is nothing to try."), "as it was told before"
            assert "another agent waits" in await first("take_session", seconds=1)
            assert "You have session demo-i0002-s1" in await waiting

    asyncio.run(play())


def test_without_a_running_campaign_it_says_what_to_start(running: Running, tmp_path: Path) -> None:
    running.until(lambda: running.workload("b01"))
    running.interrupt()

    async def play() -> None:
        async with joining(running.folder, tmp_path / "mine") as call:
            assert "rloop run does not work on this campaign now: start it" in await call("take_session")

    asyncio.run(play())


def test_ctrl_c_takes_the_session_away(running: Running, tmp_path: Path) -> None:
    async def play() -> None:
        async with joining(running.folder, tmp_path / "mine") as call:
            await taken(call, running.folder)
            await asyncio.to_thread(running.interrupt)
            assert "the session is over" in await call("read_results")
            assert "call take_session first" in await call("read_results")

    asyncio.run(play())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mcp"], "give --join"),
        (["mcp", "--join", "--dir", "nowhere"], "nowhere"),
        (["mcp", "--join", "other"], "other"),
    ],
)
def test_what_cannot_be_joined_is_told(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rloop_operator.cli", *arguments],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_an_agent_that_has_stopped_asking_gets_no_session(running: Running, tmp_path: Path) -> None:
    async def play() -> None:
        async with joining(running.folder, tmp_path / "mine") as call:
            assert (await call("take_session", seconds=1)).startswith("Not yet")
            gate(running.folder).touch()
            await asyncio.to_thread(
                running.until,
                lambda: any(one.spec.iteration == 1 for one in look(running.folder).snapshot.experiments.values()),
            )

    asyncio.run(play())


def test_a_dead_agent_is_not_waited_for(running: Running, tmp_path: Path) -> None:
    """Killed while it waits: the session goes to the campaign's own agent."""
    server = subprocess.Popen(
        [sys.executable, "-c", WAITS, str(running.folder / "join")], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    (running.folder / "join").mkdir(exist_ok=True)
    assert server.stdout.readline().strip() == "waits"
    server.send_signal(signal.SIGKILL)
    server.communicate()
    gate(running.folder).touch()
    running.until(lambda: any(one.spec.iteration == 1 for one in look(running.folder).snapshot.experiments.values()))


WAITS = """
import fcntl, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)
file = open(folder / "request", "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("waits", flush=True)
time.sleep(600)
"""
