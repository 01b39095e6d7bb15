"""The trainer as it is started: one process for each rank, in an environment of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

SECONDS = 300
"""A process that is still there after that hangs."""
CONTRACT = (
    "RLOOP_SEED",
    "RLOOP_ARTIFACTS",
    "RLOOP_CHECKPOINTS",
    "RANK",
    "WORLD_SIZE",
    "LOCAL_RANK",
    "MASTER_ADDR",
    "MASTER_PORT",
    "TRAINER_CACHE",
)


class Ended(NamedTuple):
    """How a process ended, and all that it printed."""

    code: int
    log: str


def environment(**variables: str) -> dict[str, str]:
    """The machine's, without what belongs to a run. One thread each: the tests start several processes at once."""
    clean = {name: value for name, value in os.environ.items() if name not in CONTRACT}
    return {**clean, "OMP_NUM_THREADS": "1", **variables}


def command(
    *arguments: str | Path, options: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-m", "rloop_trainer", *map(str, arguments)],
        env=environment(**variables),
        check=False,
        capture_output=True,
        text=True,
    )


def attempt(recipe: Path, place: Path, seed: int = 7, **variables: str) -> Ended:
    """One attempt of a run whose artifacts and checkpoints lie in `place`."""
    (ended,) = attempt_of_ranks(recipe, place, 1, seed, None, **variables)
    return ended


def attempt_of_ranks(
    recipe: Path, place: Path, ranks: int, seed: int = 7, signals: Mapping[int, str] | None = None, **variables: str
) -> list[Ended]:
    """The same with several ranks; `signals` are those that a rank sends to itself (see tasks.REWARD)."""
    place.mkdir(parents=True, exist_ok=True)
    contract = {
        "RLOOP_SEED": str(seed),
        "RLOOP_ARTIFACTS": str(place / "artifacts"),
        "RLOOP_CHECKPOINTS": str(place / "checkpoints"),
    }
    torchrun = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    logs = [place / f"log-{rank}" for rank in range(ranks)]
    with contextlib.ExitStack() as stack:
        processes = []
        for rank, log in enumerate(logs):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank), **torchrun} if ranks > 1 else {}
            hit = {"SIGNAL": signals[rank]} if signals and rank in signals else {}
            process = subprocess.Popen(
                [sys.executable, "-m", "rloop_trainer", recipe.name],
                cwd=recipe.parent,
                env=environment(**contract, **own, **hit, **variables),
                stdout=stack.enter_context(log.open("w")),
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.kill)  # does nothing to one that has ended
            processes.append(process)
        codes = [process.wait(SECONDS) for process in processes]
    return [Ended(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def steps(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "artifacts/progress.jsonl").read_text().splitlines()]


def weights(place: Path) -> str:
    """A hash of the exported weights."""
    return sha256((place / "artifacts/model/model.safetensors").read_bytes()).hexdigest()


def saved(place: Path) -> set[str]:
    """The checkpoints that have a seal."""
    return {path.parent.name for path in (place / "checkpoints").glob("checkpoint-*/complete.json")}
