"""A small campaign in a folder whose name is no plain word, and the parts of the local shell around it."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rloop.actions import Workload
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Exit
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads.identity import LocalIdentity
from rloop_operator.local.workloads.runtime import LocalRuntime

PATIENCE = 60
T = TypeVar("T")


class Campaign:
    """A store, an identity and a runtime of one run folder, and shortcuts for tests."""

    def __init__(self, root: Path) -> None:
        self.base = root / "manifest"
        self.folder = root / "a run's földer"
        for name, file, content in (
            ("task", "train.py", "print('trained')\n"),
            ("evaluation", "score.py", "print('scored')\n"),
            ("held out", "labels.txt", "1 2 3\n"),
        ):
            (self.base / name).mkdir(parents=True)
            (self.base / name / file).write_text(content)
        self.open()

    def open(self, *, seed: int | None = None) -> None:
        self.store = LocalStore(self.folder, self.base, seed=seed)
        self.identity = LocalIdentity(self.store)
        self.runtime = LocalRuntime(self.store, self.identity, "http://127.0.0.1:1")

    def reopen(self) -> None:
        """As after the death of the operator: only what is on the disk is left."""
        self.close()
        self.open()

    def close(self) -> None:
        self.runtime.close()
        self.store.close()

    def loop(self, command: list[str] | None = None, **experiment: Any) -> ResearchLoop:
        template = {"job": {}, "command": command or ["true"], "gracePeriodSeconds": 1} | experiment
        return ResearchLoop.model_validate(
            {
                "metadata": {"name": "kuhn"},
                "spec": {
                    "direction": "find something",
                    "boundaries": {"editable": ["*.json"]},
                    "task": {"path": "./task"},
                    "objective": {"metric": "loss", "goal": "Minimize"},
                    "evaluation": {
                        "code": {"path": "./evaluation"},
                        "command": ["python3", "score.py"],
                        "heldOut": {"path": "./held out"},
                    },
                    "experiment": template,
                    "agent": {"policy": {"name": "random-search", "seed": 7}},
                },
            }
        )

    def python(self, code: str, **experiment: Any) -> ResearchLoop:
        """A loop whose runs execute this code."""
        return self.loop([sys.executable, "-c", code], **experiment)

    async def run(self, loop: ResearchLoop, name: str = "kuhn-b01-r1-a1", deadline: int = PATIENCE) -> Exit:
        await self.begin(loop, name, deadline)
        return await self.ended(name)

    async def begin(
        self, loop: ResearchLoop, name: str = "kuhn-b01-r1-a1", deadline: int = PATIENCE, kind: str = "baseline"
    ) -> None:
        await self.store.seal(loop)
        await self.runtime.start(loop, Workload(name, "run", "kuhn-b01", deadline, run=1, seed=42, kind=kind))

    async def ended(self, name: str = "kuhn-b01-r1-a1") -> Exit:
        async def look() -> Exit | None:
            state = (await self.runtime.observe("kuhn")).get(name)
            return state.exit if state else None

        return await until(look)

    def output(self, name: str = "kuhn-b01-r1-a1") -> Path:
        return self.folder / "workloads" / name / "output.log"

    async def printed(self, text: str, name: str = "kuhn-b01-r1-a1") -> str:
        """Wait until the workload's output holds the text; the output."""

        async def look() -> str | None:
            path = self.output(name)
            content = path.read_text() if path.exists() else ""
            return content if text in content else None

        return await until(look)

    def artifacts(self, run: int = 1) -> Path:
        return self.folder / "experiments" / "kuhn-b01" / "runs" / f"r{run}" / "artifacts"


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.01)
    raise TimeoutError


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    made = Campaign(tmp_path)
    yield made
    for name in made.runtime.live():
        asyncio.run(made.runtime.stop(name, "TestOver"))
        asyncio.run(made.ended(name))
    made.close()


@pytest.fixture
def alive() -> Callable[[int], bool]:
    def look(pid: int) -> bool:
        try:
            os.kill(pid, signal.SIG_DFL)
        except ProcessLookupError:
            return False
        status = Path(f"/proc/{pid}/stat")
        return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] in "ZX")

    return look
