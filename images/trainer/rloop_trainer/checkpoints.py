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
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

SEAL = "complete.json"
PREFIX = "checkpoint-"
"""As transformers names them."""


class Seal(NamedTuple):
    """What is written last: whose checkpoint it is, and size and sha256 of each file."""

    maker: Maker
    files: Mapping[str, Mapping[str, Any]]


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
    """Make the folder a checkpoint: all files are on the disk before the seal is. Raises OSError if one is wrong."""
    flush(path)
    files = {
        file.relative_to(path).as_posix(): {"size": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(_files(path))
    }
    unfinished = path / f"{SEAL}.tmp"
    unfinished.write_text(_text(Seal(maker, files)), encoding="utf-8")
    _sync(unfinished)
    unfinished.replace(path / SEAL)
    _sync(path)
    _sync(path.parent)
    wrong = flaw(path)
    if wrong:
        raise OSError(f"{path}: {wrong}")


def flaw(path: Path, maker: Maker | None = None) -> str:
    """What is wrong with a checkpoint, every byte of it read, and if `maker` is given, for it; "" if nothing is."""
    found = _seal(path)
    if found is None:
        return "it has no whole seal: its writing was cut short"
    for name, facts in found.files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["size"] or _sha256(file) != facts["sha256"]:
            return f"{name} is not what was written"
    return maker.fits(found.maker) if maker is not None else ""


def newest(parent: Path, maker: Maker) -> tuple[Path | None, list[str]]:
    """The newest whole checkpoint that fits, and what was found wrong with others; those are removed.

    Called by one rank, before any writes.
    """
    said = []
    chosen = None
    for path in reversed(_all(parent)):
        if chosen is not None:
            break
        wrong = flaw(path, maker)
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


def flush(path: Path) -> None:
    """All that is in a folder is on the disk when this returns; a new name is there only when its folder is."""
    files = _files(path)
    for each in [*files, *{file.parent for file in files}, path]:
        _sync(each)


def step(path: Path) -> int:
    """The step after which it was written."""
    return int(path.name.removeprefix(PREFIX))


def _all(parent: Path) -> list[Path]:
    """All folders with a checkpoint's name, oldest first."""
    found = [path for path in parent.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdecimal()]
    return sorted(found, key=step)


def _seal(path: Path) -> Seal | None:
    try:
        text = (path / SEAL).read_text(encoding="utf-8")
        document = json.loads(text)
        found = Seal(Maker(**document["maker"]), document["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if text == _text(found) else None


def _text(seal: Seal) -> str:
    """With a hash of itself: one changed letter could make another's checkpoint one's own."""
    document = {"maker": asdict(seal.maker), "files": seal.files}
    digest = hashlib.sha256(json.dumps(document).encode()).hexdigest()
    return json.dumps({**document, "sha256": digest})


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != SEAL]


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
