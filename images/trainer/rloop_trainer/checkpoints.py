"""Checkpoints that are whole or are not there: sealed last, and read again before an older one goes.

Called by `rloop_trainer.training`, which writes their files with the trainer's own means, and by `rloop_trainer.run`
at the start of an attempt. A kill in the middle of a save leaves a folder that looks like a checkpoint; a seal with
size and sha256 of each file, written and flushed after all of them, tells the two apart.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SEAL = "complete.json"
PREFIX = "checkpoint-"
"""As transformers names them."""


@dataclass(frozen=True, slots=True)
class Maker:
    """What a checkpoint only fits if it is the same."""

    recipe: str
    """Hash of the recipe and the seed."""
    ranks: int
    zero: int | None

    def fits(self, other: Maker) -> str:
        """Why a run made like this cannot go on from a checkpoint of `other`; "" if it can."""
        if other.recipe != self.recipe:
            return "it is of another recipe or seed"
        if (self.zero is not None or other.zero is not None) and other.ranks != self.ranks:
            # DeepSpeed writes one file for each rank; without it all is in one, and any number can read it.
            return f"it was written by {other.ranks} ranks, DeepSpeed's cannot be read by {self.ranks}"
        return ""


def folder(parent: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return parent / f"{PREFIX}{step}"


def seal(path: Path, maker: Maker) -> None:
    """Make the folder a checkpoint: all files are on the disk before the seal is. Raises OSError if one is not right."""
    files = {}
    for file in sorted(_files(path)):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
        files[file.relative_to(path).as_posix()] = {"size": file.stat().st_size, "sha256": _sha256(file)}
    for each in {file.parent for file in _files(path)} | {path}:
        _flush(each)
    unfinished = path / f"{SEAL}.tmp"
    with unfinished.open("w", encoding="utf-8") as stream:
        json.dump({"maker": asdict(maker), "files": files}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(path / SEAL)
    _flush(path)
    _flush(path.parent)
    wrong = flaw(path)
    if wrong:
        raise OSError(f"{path}: {wrong}")


def flaw(path: Path) -> str:
    """What is wrong with a checkpoint, every byte of it read; "" if nothing is."""
    found = _seal(path)
    if found is None:
        return "it has no seal: its writing was cut short"
    for name, facts in found["files"].items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["size"] or _sha256(file) != facts["sha256"]:
            return f"{name} is not what was written"
    return ""


def newest(parent: Path, maker: Maker) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint that fits, and what was found wrong with others; those are removed.

    Called by one rank, before any writes.
    """
    said = []
    chosen = None
    for path in reversed(_all(parent)):
        if chosen is not None:
            break
        wrong = flaw(path) or maker.fits(_maker(path))
        if wrong:
            said.append(f"{path.name} is left aside and removed: {wrong}")
            shutil.rmtree(path, ignore_errors=True)
        else:
            chosen = path
    return chosen, said


def prune(parent: Path, keep: int) -> None:
    """Keep the newest `keep`. Called after the newest was sealed and read again."""
    for path in _all(parent)[:-keep]:
        # Without its seal first: a kill in the middle of this leaves no half one that looks whole.
        (path / SEAL).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def step(path: Path) -> int:
    """The step after which it was written."""
    return int(path.name.removeprefix(PREFIX))


def _all(parent: Path) -> list[Path]:
    """All folders with a checkpoint's name, oldest first."""
    found = [path for path in parent.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=step)


def _seal(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((path / SEAL).read_text(encoding="utf-8"))
        Maker(**found["maker"])
        return found if isinstance(found["files"], dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _maker(path: Path) -> Maker:
    found = _seal(path)
    assert found is not None
    return Maker(**found["maker"])


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != SEAL]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """A new name is on the disk only when its folder is."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
