"""An independent look at a folder of checkpoints, and a judgement of what the trainer made of it.

Called by `benchmarks.trainer.killed` before each start. It reads the seals by itself and uses nothing of the trainer's,
which is the accused here. A SIGKILL loses no page that was written: what only a power cut could lose is not tested.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SEAL = "complete.json"
GOING_ON = re.compile(r"^continuing after step (\d+), from checkpoint-(\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Look:
    """Steps of the checkpoints: whole ones, and those that are not, sealed or not."""

    whole: list[int]
    broken: list[int]


def look(checkpoints: Path) -> Look:
    """Read every byte of every folder with a checkpoint's name."""
    found = {int(path.name.removeprefix("checkpoint-")): path for path in checkpoints.glob("checkpoint-*")}
    whole = sorted(step for step, path in found.items() if is_whole(path))
    return Look(whole, sorted(set(found) - set(whole)))


def is_whole(path: Path) -> bool:
    """Whether there is a seal, and size and hash of each file are what it says."""
    try:
        listed = json.loads((path / SEAL).read_text(encoding="utf-8"))["files"]
        return bool(listed) and all(_is_as_sealed(path / name, facts) for name, facts in listed.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _is_as_sealed(file: Path, facts: dict[str, Any]) -> bool:
    content = file.read_bytes()
    return (len(content), hashlib.sha256(content).hexdigest()) == (facts["size"], facts["sha256"])


def in_the_making(checkpoints: Path) -> bool:
    """Whether the newest folder has no seal, at a glance. An older one without it is on its way out, not in."""
    found = {int(path.name.removeprefix("checkpoint-")): path for path in checkpoints.glob("checkpoint-*")}
    return bool(found) and not (found[max(found)] / SEAL).exists()


def judged(before: Look, said: str, *, trained: bool) -> str:
    """What is wrong with where an attempt went on, by its log; "" if nothing is.

    `trained`: whether it got as far as to write progress. One that was killed before may have said nothing.
    """
    line = GOING_ON.search(said)
    newest = before.whole[-1] if before.whole else 0
    if line is None:
        return f"began anew beside whole checkpoint-{newest}" if trained and newest else ""
    step, folder = (int(number) for number in line.groups())
    if folder != step:
        return f"went on after step {step} from checkpoint-{folder}"
    if step not in before.whole:
        return f"loaded checkpoint-{step}, which was half written"
    return "" if step == newest else f"went back to step {step}, though checkpoint-{newest} was whole"


def steps_of(progress: Path) -> list[int]:
    """The steps of the lines of progress.jsonl, in their order; a line cut short is -1."""
    if not progress.exists():
        return []
    steps = []
    for line in progress.read_text(encoding="utf-8").splitlines():
        try:
            steps.append(int(json.loads(line)["step"]))
        except (ValueError, KeyError, TypeError):
            steps.append(-1)
    return steps
