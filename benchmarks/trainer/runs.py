"""The runs that `benchmarks.trainer` measures: a task, the start model of all, and processes with a clock in them.

Both sides get the same recipe, data, start model, environment and clock (`probe`); one thread each, because
the model is so small that a second thread measures the machine's other work.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
TRAINER = "rloop_trainer"
PLAIN = "benchmarks.trainer.plain"
TIMEOUT_SECONDS = 900
LINES = 2000
Process = subprocess.Popen[bytes]


class RunFailed(RuntimeError):
    """A run ended badly, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Task:
    """A folder with recipe and data, and the model that every run starts from."""

    folder: Path
    recipe: dict[str, Any]
    start: Path

    @property
    def file(self) -> Path:
        """The recipe's file."""
        return self.folder / "recipe.json"


@dataclass(frozen=True, slots=True)
class Times:
    """Of one process, in seconds of the machine's clock."""

    spawned: float
    begun: float
    imported: float
    ready: float
    steps: list[float]
    peak: float
    """Most memory up to the end of the training, in MiB."""


def recipe(steps: int, every_steps: int) -> dict[str, Any]:
    """Sums of two numbers below 100, by a Qwen2 of two layers with a token for each digit."""
    return {
        "model": {"scratch": {"vocabulary": "0123456789+="}},
        "warm_start": {"file": "train.jsonl", "steps": 400},
        "data": {"train": "train.jsonl"},
        "grpo": {"steps": steps, "learning_rate": 0.0001, "batch": 128, "group": 8, "completion_tokens": 4},
        "checkpoint": {"every_steps": every_steps, "keep": 2},
    }


def task(folder: Path, document: dict[str, Any]) -> Task:
    """Write the files, and have our trainer make the start model."""
    folder.mkdir(parents=True)
    chance = random.Random(1)
    pairs = [(chance.randrange(100), chance.randrange(100)) for _ in range(LINES)]
    lines = [json.dumps({"prompt": f"{one}+{other}=", "answer": str(one + other)}) for one, other in pairs]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "recipe.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    made = [sys.executable, "-m", TRAINER, "--warm-start", str(folder / "recipe.json")]
    environment = _environment({"TRAINER_CACHE": str(folder / "cache")})
    done = subprocess.run(made, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode:
        raise RunFailed(f"the start model could not be made: {done.stderr[-2000:]}")
    return Task(folder, document, next((folder / "cache").glob("*/complete.json")).parent)


def spawn(task: Task, place: Path, command: Sequence[str], more: Mapping[str, str] | None = None) -> Process:
    """Start a process in `place`, which keeps its checkpoints, artifacts and log."""
    for name in ("artifacts", "checkpoints"):
        (place / name).mkdir(parents=True, exist_ok=True)
    environment = _environment(
        {
            "TRAINER_CACHE": str(task.folder / "cache"),
            "RLOOP_SEED": "1",
            "RLOOP_ARTIFACTS": str(place / "artifacts"),
            "RLOOP_CHECKPOINTS": str(place / "checkpoints"),
            **(more or {}),
        }
    )
    with (place / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=log, stderr=log)


def ours(task: Task, place: Path) -> Times:
    """One whole run of our trainer."""
    return timed(task, [place], TRAINER, [str(task.file)])[0]


def plain(task: Task, place: Path) -> Times:
    """One whole run of the plain script."""
    return timed(task, [place], PLAIN, [str(task.file), str(task.start), str(place)])[0]


def ranks(task: Task, place: Path, size: int) -> list[Times]:
    """One whole run of our trainer on some ranks of this machine, which share artifacts and checkpoints."""
    return timed(task, [place / f"rank-{rank}" for rank in range(size)], TRAINER, [str(task.file)])


def timed(task: Task, places: Sequence[Path], module: str, arguments: Sequence[str]) -> list[Times]:
    """Run a module once in each place, as ranks of one run if they are several. Raises RunFailed."""
    started = []
    port = _free_port()
    try:
        for rank, place in enumerate(places):
            command = ["-m", "benchmarks.trainer.probe", str(place / "clock.json"), module, *arguments]
            more = _rank(rank, len(places), port, places[0]) if len(places) > 1 else {}
            spawned = monotonic()
            started.append((place, spawned, spawn(task, place, command, more)))
        return [_ended(place, spawned, process) for place, spawned, process in started]
    finally:
        for _, _, process in started:
            process.kill()  # nothing, where it has ended
            process.wait()


def _ended(place: Path, spawned: float, process: Process) -> Times:
    process.wait(TIMEOUT_SECONDS)
    if process.returncode:
        log = (place / "log").read_text(encoding="utf-8", errors="replace")
        raise RunFailed(f"{place.name} ended with {process.returncode}: {log[-2000:]}")
    times = json.loads((place / "clock.json").read_text(encoding="utf-8"))
    return Times(spawned=spawned, **times)


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", **more}


def _rank(rank: int, size: int, port: int, first: Path) -> dict[str, str]:
    """What torchrun tells a rank; they meet on loopback, and share what the first one has."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": next(name for name in psutil.net_if_addrs() if name.startswith("lo")),
        "RLOOP_ARTIFACTS": str(first / "artifacts"),
        "RLOOP_CHECKPOINTS": str(first / "checkpoints"),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
