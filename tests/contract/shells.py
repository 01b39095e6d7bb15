"""The shells under one roof: what the contract suite needs of each, and nothing that only one of them can do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.builders import loop as build_loop

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Exit
from rloop_operator.local.identity import LocalIdentity
from rloop_operator.local.runtime import LocalRuntime
from rloop_operator.local.store import LocalStore
from rloop_operator.ports import File, Runtime
from rloop_operator.sim.runtime import Outcome, SimRuntime, VirtualClock
from rloop_operator.sim.store import MemoryStore

TRIES = 1500
SCRIPT = """case "$(cat behaviour)" in
  ok) echo '{"loss": 0.5}' > "$RLOOP_ARTIFACTS/claims.json" ;;
  fail) echo "it went wrong" >&2; exit 3 ;;
  sleep) exec sleep 600 ;;
esac
"""
TASK = {"run.sh": File(SCRIPT.encode(), executable=True), "behaviour": File(b"ok")}


class Sim:
    """The simulated shell."""

    def __init__(self, loop: ResearchLoop) -> None:
        self.loop = loop
        self.clock = VirtualClock()
        self.store = MemoryStore(TASK)
        self._behaviour: dict[str, str] = {}
        self.runtime = SimRuntime(self.clock, self._world)
        self.died: list[SimRuntime] = []

    def _world(self, _loop: ResearchLoop, workload: Workload) -> Outcome:
        return {
            "ok": Outcome(1, claims={"loss": 0.5}),
            "fail": Outcome(1, code=3, reason="Error", log_tail="it went wrong"),
            "sleep": Outcome(600),
        }[self._behaviour.get(workload.owner, "ok")]

    def reopened(self) -> Runtime:
        """The runtime as a new operator finds it, the old one having died."""
        return self.runtime

    async def behave(self, experiment: str, behaviour: str) -> None:
        """How the runs of an experiment go: ok, fail or sleep."""
        self._behaviour[experiment] = behaviour

    async def pass_time(self) -> None:
        self.clock.seconds += 1
        await self.runtime.end_due()

    def lose(self, name: str) -> None:
        self.runtime.lose(name)

    def runs(self, name: str) -> bool:
        return name in self.runtime.live()

    def ledger(self) -> list[str]:
        return [key.removeprefix("demo/") for key in self.store.ledger]


class Local:
    """The local shell, with real processes."""

    def __init__(self, folder: Path, loop: ResearchLoop) -> None:
        for name, files in (("task", TASK), ("evaluation", {"score": File(b"#!/bin/sh\n", executable=True)})):
            (folder / name).mkdir(parents=True)
            for path, file in files.items():
                (folder / name / path).write_bytes(file.content)
                (folder / name / path).chmod(0o755)
        self.loop = loop
        self.store = LocalStore(folder / "run folder", folder)
        self.runtime = LocalRuntime(self.store, LocalIdentity(self.store), "http://127.0.0.1:9")
        self.died: list[LocalRuntime] = []
        """Runtimes of operators that are gone; kept, because in this one process they are the shims' parents."""

    def reopened(self) -> Runtime:
        self.died.append(self.runtime)
        self.runtime = LocalRuntime(self.store, LocalIdentity(self.store), "http://127.0.0.1:9")
        return self.runtime

    async def behave(self, experiment: str, behaviour: str) -> None:
        await self.store.put_files("demo", experiment, {"behaviour": File(behaviour.encode())})

    async def pass_time(self) -> None:
        await asyncio.sleep(0.02)

    def lose(self, name: str) -> None:
        shim = self.store.folder.workload(name) / "shim.json"
        os.kill(json.loads(shim.read_text())["pid"], signal.SIGKILL)

    def runs(self, name: str) -> bool:
        folder = self.store.folder.workload(name)
        return (folder / "shim.json").exists() and (folder / "output.log").exists()

    def ledger(self) -> list[str]:
        return [entry.key for entry in self.store.ledger("demo")]


Shell = Sim | Local
"""Both have the same members: store, runtime, loop, reopened, behave, pass_time, lose, runs, ledger."""


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Shell]:
    """A fresh shell of this kind, its loop stored and sealed."""
    loop = build_loop(experiment__command=["sh", "run.sh"], experiment__gracePeriodSeconds=1)
    shell: Shell = Sim(loop) if kind == "sim" else Local(folder, loop)
    shell.loop = await shell.store.create(loop)
    await shell.store.seal(shell.loop)
    try:
        yield shell
    finally:
        for name, state in (await shell.runtime.observe(loop.metadata.name)).items():
            if state.exit is None:
                await shell.runtime.stop(name, "Stopped")
                await ended(shell, name)
        for runtime in [*shell.died, shell.runtime]:
            for name in await runtime.observe(loop.metadata.name):
                await runtime.remove(name)
        if isinstance(shell, Local):
            shell.store.close()


async def ended(shell: Shell, name: str) -> Exit:
    """The exit of a workload, once it has ended."""
    for _ in range(TRIES):
        state = (await shell.runtime.observe(shell.loop.metadata.name)).get(name)
        assert state is not None, f"{name} is not observed"
        if state.exit is not None:
            return state.exit
        await shell.pass_time()
    message = f"{name} has not ended"
    raise AssertionError(message)


async def running(shell: Shell, name: str) -> None:
    """Wait until it really runs."""
    for _ in range(TRIES):
        if shell.runs(name):
            return
        await shell.pass_time()
    message = f"{name} does not run"
    raise AssertionError(message)


def run(experiment: str, number: int = 1, attempt: int = 1, **changes: Any) -> Workload:
    """The workload of an attempt at a run."""
    fields: dict[str, Any] = {
        "name": f"{experiment}-r{number}-a{attempt}",
        "role": "run",
        "owner": experiment,
        "deadline_seconds": 60,
        "run": number,
        "number": attempt,
        "seed": 7,
        "kind": "screen",
    }
    return Workload(**(fields | changes))
