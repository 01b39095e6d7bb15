"""The shells under one roof: what the contract suite needs of each, and nothing that only one of them can do.

The cluster's stand in `cluster_shell` and `fake_shell`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from tests.contract.cluster_shell import Kubernetes
from tests.contract.fake_shell import Faked
from tests.contract.tasks import EVALUATION, TASK
from tests.support.builders import loop as build_loop

from rloop.actions import Workload
from rloop.api.helpers import curves_of
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Exit
from rloop_operator.beats import Beats
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads.identity import LocalIdentity
from rloop_operator.local.workloads.runtime import LocalRuntime
from rloop_operator.ports import File, Runtime
from rloop_operator.sim.runtime import Outcome, SimRuntime, VirtualClock
from rloop_operator.sim.store import MemoryStore

TRIES = 1500
NOWHERE = "http://127.0.0.1:9"
"""A gateway that never answers: an agent goes on trying, and so lives as long as a test needs it."""


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
            "ok": Outcome(1, claims={"loss": 0.5}, curves=curves_of({"loss": [(1, 0.75)]})),
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

    async def record(self, experiment: str) -> None:
        """The end of its first attempt stands in a status; this runtime remembers names by itself."""

    def lose(self, name: str) -> None:
        self.runtime.lose(name)

    def runs(self, name: str) -> bool:
        return name in self.runtime.live()

    def ledger(self) -> list[str]:
        return [key.removeprefix("demo/") for key in self.store.ledger]


class Local:
    """The local shell, with real processes."""

    def __init__(self, folder: Path, loop: ResearchLoop) -> None:
        for name, files in (("task", TASK), ("evaluation", EVALUATION)):
            (folder / name).mkdir(parents=True)
            for path, file in files.items():
                (folder / name / path).write_bytes(file.content)
                (folder / name / path).chmod(0o755)
        self.loop = loop
        self.store = LocalStore(folder / "run folder", folder)
        self.identity = LocalIdentity(self.store)
        self.runtime = LocalRuntime(self.store, self.identity, NOWHERE)
        self.gateway_signs = self.signs = Beats(time.monotonic)
        self.died: list[LocalRuntime] = []
        """Runtimes of operators that are gone; kept, because in this one process they are the shims' parents."""

    def reopened(self) -> Runtime:
        self.died.append(self.runtime)
        self.identity = LocalIdentity(self.store)
        self.runtime = LocalRuntime(self.store, self.identity, NOWHERE)
        return self.runtime

    async def behave(self, experiment: str, behaviour: str) -> None:
        await self.store.put_files("demo", experiment, {"behaviour": File(behaviour.encode())})

    async def pass_time(self) -> None:
        await asyncio.sleep(0.02)

    async def record(self, experiment: str) -> None:
        """The end of its first attempt stands in a status; this runtime remembers names by itself."""

    def lose(self, name: str) -> None:
        shim = self.store.folder.workload(name) / "shim.json"
        os.kill(json.loads(shim.read_text())["pid"], signal.SIGKILL)

    def runs(self, name: str) -> bool:
        folder = self.store.folder.workload(name)
        return (folder / "shim.json").exists() and (folder / "output.log").exists()

    def ledger(self) -> list[str]:
        return [entry.key for entry in self.store.ledger("demo").entries]

    async def begin(self, workload: Workload) -> None:
        """Start an agent."""
        await self.runtime.start(self.loop, workload)

    def token(self, name: str) -> str:
        """The token that an agent was given."""
        spec = json.loads((self.store.folder.workload(name) / "spec.json").read_text())
        token: str = spec["env"]["RLOOP_TOKEN"]
        return token

    def others(self) -> list[str]:
        """Tokens of nobody's."""
        return ["", "wrong", LocalIdentity.new_token()]


Shell = Sim | Local | Kubernetes | Faked
"""All have the same members: store, runtime, loop, reopened, behave, pass_time, record, lose, runs, ledger."""
Live = Local | Kubernetes | Faked
"""Those whose agents are processes, and have more: identity, gateway_signs, signs, begin, token, others."""


class Check(Protocol):
    """Runs a test on a fresh shell of the row's kind; `gateway`: where runs need one to tell what they claim."""

    def __call__(self, test: Callable[[Any], Awaitable[None]], *, gateway: bool = False) -> None: ...


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Sim | Local]:
    """A fresh shell of this kind, its loop stored and sealed."""
    loop = build_loop(experiment__command=["sh", "run.sh"], experiment__gracePeriodSeconds=1)
    shell = Sim(loop) if kind == "sim" else Local(folder, loop)
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


def agent() -> Workload:
    """The workload of a session's first process."""
    return Workload("demo-i0001-s1-a1", "agent", "demo-i0001", 120, session="demo-i0001-s1")


def run(experiment: str, number: int = 1, attempt: int = 1, **changes: Any) -> Workload:
    """The workload of an attempt at a run."""
    fields: dict[str, Any] = {
        "name": f"{experiment}-r{number}-a{attempt}",
        "role": "run",
        "owner": experiment,
        "deadline_seconds": 300,
        "run": number,
        "number": attempt,
        "seed": 7,
        "place": f"{experiment}-{number}",
        "kind": "screen",
    }
    return Workload(**(fields | changes))
