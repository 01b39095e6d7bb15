"""Runs of our trainer that are killed again and again: what each next attempt went on from, and how each run ended.

Called by `benchmarks.trainer`. A start costs seconds of imports, and a save some hundredths: so a kill left to
chance alone would nearly always hit an import. Half of the kills is aimed at a save, when a new folder without a seal
shows, a quarter at the steps and what is between them, and a quarter at the start; when exactly is chance in each case.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.trainer import folder
from benchmarks.trainer.runs import TIMEOUT_SECONDS, TRAINER, Process, RunFailed, Task, spawn

AIMS = ("save", "steps", "save", "start")
DELAYS = {"save": 3.0, "steps": 3.0, "start": 10.0}
"""Seconds that an attempt is let be, at most: some saves from its first step on; or about the imports."""
SAVE_SECONDS = 0.03
"""The same within a save: about its length."""
POLL_SECONDS = 0.001
KILLS_IN_A_RUN = 5


@dataclass(slots=True)
class Run:
    """One run, from its first attempt to its end."""

    steps: int
    """That it should have."""
    kills: list[str] = field(default_factory=list)
    """What each was aimed at."""
    halves: int = 0
    """Kills that left half a checkpoint as the newest."""
    resumed: int = 0
    """Attempts that said from which checkpoint they went on."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong with where an attempt went on."""
    failed: list[str] = field(default_factory=list)
    """Attempts that ended by themselves, and not with 0."""
    progress: list[int] = field(default_factory=list)
    model: str = ""
    """Hash of the weights in the artifacts."""

    @property
    def is_whole(self) -> bool:
        """Whether it has one line for each step, in order, and a model."""
        return self.progress == list(range(1, self.steps + 1)) and self.model != ""


def runs(task: Task, folder: Path, kills: int, seed: int) -> list[Run]:
    """As many runs as that many kills take; the first is not killed, and shows what the others should come to."""
    chance = random.Random(seed)
    aims = [AIMS[index % len(AIMS)] for index in range(kills)]
    chance.shuffle(aims)
    found = [_run(task, folder / "run-0", [], chance)]
    while aims:
        run = _run(task, folder / f"run-{len(found)}", aims[:KILLS_IN_A_RUN], chance)
        found.append(run)
        if run.failed or not run.kills:
            break
        aims = aims[len(run.kills) :]  # a run that was over before its last kill leaves it to the next
    return found


def _run(task: Task, place: Path, aims: list[str], chance: random.Random) -> Run:
    run = Run(steps=task.recipe["grpo"]["steps"])
    left = list(aims)
    while _attempt(task, place, left.pop(0) if left else None, chance, run):
        pass
    run.progress = folder.steps_of(place / "artifacts" / "progress.jsonl")
    weights = place / "artifacts" / "model" / "model.safetensors"
    run.model = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
    return run


def _attempt(task: Task, place: Path, aim: str | None, chance: random.Random, run: Run) -> bool:
    """One start; whether another is needed."""
    checkpoints, progress = place / "checkpoints", place / "artifacts" / "progress.jsonl"
    before, written = folder.look(checkpoints), _written(progress)
    process = spawn(task, place, ["-m", TRAINER, str(task.file)])
    try:
        killed = aim is not None and _killed(process, aim, chance, checkpoints, progress)
        process.wait(TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    said = (place / "log").read_text(encoding="utf-8", errors="replace")
    trained = _written(progress) != written
    wrong = folder.judged(before, said, trained=trained)
    run.resumed += folder.GOING_ON.search(said) is not None
    run.wrong += [wrong] if wrong else []
    if killed and aim is not None:
        run.kills.append(aim)
        run.halves += trained and folder.in_the_making(checkpoints)
        return True
    if process.returncode:
        run.failed.append(f"exit {process.returncode}: {(said.strip().splitlines() or [''])[-1]}")
    return False


def _killed(process: Process, aim: str, chance: random.Random, checkpoints: Path, progress: Path) -> bool:
    """Wait for the moment and kill; False if the process ended before."""
    written = _written(progress)
    if aim != "start":
        _wait(process, lambda: _written(progress) != written)
    time.sleep(chance.uniform(0, DELAYS[aim]))
    if aim == "save":
        _wait(process, lambda: folder.in_the_making(checkpoints))
        time.sleep(chance.uniform(0, SAVE_SECONDS))
    if process.poll() is not None:
        return False
    process.kill()
    process.wait()
    return True


def _wait(process: Process, moment: Callable[[], bool]) -> None:
    """Until the moment is there or the process has ended."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not moment() and process.poll() is None:
        if time.monotonic() > deadline:
            raise RunFailed(f"the moment for a kill did not come in {TIMEOUT_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _written(progress: Path) -> tuple[int, int]:
    """Changes when something is written."""
    try:
        found = progress.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
