"""Atomic checkpoints: a seal is written last, and a checkpoint is read back before an older one is removed.

Called by `rloop_trainer.training`, which writes the files with the means of its base class, and by `rloop_trainer.run`
at the start of an attempt. A kill during a save leaves a folder that looks like a checkpoint. Only a complete one has a
seal: size and sha256 of each file, written and flushed after all of them.
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
"""As transformers names checkpoints."""


class Seal(NamedTuple):
    """Content of the seal: the maker of the checkpoint, and size and sha256 of each file."""

    maker: Maker
    files: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Maker:
    """Properties that a checkpoint and the run that loads it must share."""

    recipe: str
    """Hash of the recipe and the seed."""
    ranks: int
    zero: int | None

    def fits(self, other: Maker) -> str:
        """Why a run with these properties cannot resume from a checkpoint of `other`; "" if it can."""
        if other.recipe != self.recipe:
            return "it belongs to another recipe or seed"
        if (self.zero is not None or other.zero is not None) and other.ranks != self.ranks:
            # DeepSpeed writes one file for each rank; without it there is one file that any number of ranks can read.
            return f"it was written by {other.ranks} ranks; a DeepSpeed checkpoint cannot be read by {self.ranks}"
        return ""


def folder(parent: Path, step: int) -> Path:
    """Folder of the checkpoint of a step."""
    return parent / f"{PREFIX}{step}"


def seal(path: Path, maker: Maker) -> None:
    """Seal the folder as a checkpoint, after all files are flushed to disk. Raises OSError if one reads back wrong."""
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
    """What is wrong with a checkpoint, after reading every byte, or why it does not fit `maker`; "" if valid."""
    found = _seal(path)
    if found is None:
        return "its checksum file is missing or incomplete: writing was interrupted"
    for name, facts in found.files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if file.stat().st_size != facts["size"] or _sha256(file) != facts["sha256"]:
            return f"{name} does not match its checksum"
    return maker.fits(found.maker) if maker is not None else ""


def newest(parent: Path, maker: Maker) -> tuple[Path | None, list[str]]:
    """The newest valid checkpoint that fits, and what is wrong with newer ones, which are removed.

    Called by one rank, before any rank writes.
    """
    said = []
    chosen = None
    for path in reversed(_all(parent)):
        if chosen is not None:
            break
        wrong = flaw(path, maker)
        if wrong:
            said.append(f"{path.name} is ignored and removed: {wrong}")
            shutil.rmtree(path, ignore_errors=True)
        else:
            chosen = path
    return chosen, said


def prune(parent: Path, keep: int) -> None:
    """Keep the newest `keep`. Called after the newest was sealed and read back."""
    for path in _all(parent)[:-keep]:
        # The seal is removed first, so that a kill during the removal leaves no partial checkpoint that looks complete.
        (path / SEAL).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def flush(path: Path) -> None:
    """Flush all files and folders in a folder to disk: a new name is durable only after its folder is flushed."""
    files = _files(path)
    for each in [*files, *{file.parent for file in files}, path]:
        _sync(each)


def step(path: Path) -> int:
    """The step after which the checkpoint was written."""
    return int(path.name.removeprefix(PREFIX))


def _all(parent: Path) -> list[Path]:
    """All folders with the name of a checkpoint, oldest first."""
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
    """The seal as JSON, with its own hash: one changed character could make another run's checkpoint fit."""
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
