"""Examines the files of a proposed experiment: the differences, whether they are allowed, and the point in the space.

Called by the gateway before `rloop.admit.experiment`, with a deadline, because an agent chooses these texts. The module
imports little: large texts are examined in a separate process, and the agent waits for its start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rloop.admit import files as rules
from rloop.api.common import FILE_BYTES
from rloop.api.reading import document
from rloop.api.reading.globs import matches
from rloop.api.space import Frame, Space
from rloop.errors import Refused


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts that a request is compared with, and the limits of its changes."""

    task: Mapping[str, str]
    """Text files of the sealed task."""
    parent: Mapping[str, str]
    """The parent's changed files."""
    editable: Sequence[str]
    max_files: int
    max_lines_per_file: int
    space: Space | None


@dataclass(frozen=True, slots=True)
class Content:
    """Result of examining the files of a request."""

    files: Mapping[str, str]
    """All files that differ from the task, so that the experiment is self-contained."""
    point: dict[str, str]
    frame: Frame
    digest: str


def examine(files: Mapping[str, str], texts: Texts) -> Content:
    """Everything that depends on the files alone. Can be slow, so the gateway runs it with a deadline.

    Raises Refused: PathInvalid, Sealed, TooLarge, TooManyFiles, TooManyLines, NothingChanged or OutsideSpace.
    """
    different = _whole_difference(files, texts)
    point, frame = _point(different, texts)
    own = rules.digest({path: _meaning(path, text, texts.space) for path, text in different.items()})
    return Content(different, point, frame, own)


def _whole_difference(files: Mapping[str, str], texts: Texts) -> dict[str, str]:
    """All files that differ from the task, after the request's files are laid over the parent's."""
    for path in files:
        rules.check_path(path)
    _check_size(files)
    before = {**texts.task, **texts.parent}
    after = {**before, **files}
    different = rules.changed(texts.task, after)
    sealed = [path for path in different if not matches(path, texts.editable)]
    if sealed:
        allowed = ", ".join(texts.editable)
        raise Refused("Sealed", f'"{sealed[0]}" is sealed; spec.boundaries.editable allows {allowed}')
    against_parent = rules.changed(before, after)
    if not different or not against_parent:
        raise Refused("NothingChanged", "the files are the same as the parent's (or the task's): change something")
    if len(against_parent) > texts.max_files:
        raise Refused(
            "TooManyFiles",
            f"{len(against_parent)} files differ from the parent; the maximum is {texts.max_files}",
        )
    _check_size({path: after[path] for path in different})
    limit = texts.max_lines_per_file
    for path in against_parent:
        if rules.changed_lines(before.get(path, ""), after[path], limit) > limit:
            raise Refused("TooManyLines", f'"{path}" changes more than {limit} lines against the parent')
    return {path: after[path] for path in different}


def _check_size(files: Mapping[str, str]) -> None:
    size = sum(len(text.encode()) for text in files.values())
    if size > FILE_BYTES:
        raise Refused(
            "TooLarge",
            f"the changed files have {size} bytes; the maximum is {FILE_BYTES}: generate data at run time",
        )


def _point(files: Mapping[str, str], texts: Texts) -> tuple[dict[str, str], Frame]:
    """The point in the files, as text, and its frame; both empty if the task has no space."""
    space = texts.space
    if space is None:
        return {}, {}
    text = files.get(space.file, texts.task.get(space.file, ""))
    try:
        found = document.read(space.file, text)
        point = space.read(found)
        missing = [one for one in space.dimensions if one.name in point and not one.stands_in(found)]
        task = document.read(space.file, texts.task[space.file]) if missing and space.file in texts.task else {}
    except ValueError as error:
        raise Refused("OutsideSpace", f"{space.file}: {error}") from error
    # Dimensions would fall back to the default, but a program that reads the key fails.
    if dropped := [one.key for one in missing if one.stands_in(task)]:
        raise Refused("OutsideSpace", f'{space.file}: "{dropped[0]}" is missing, but the task has it: write it too')
    return space.as_text(point), space.frame_of(point)


def _meaning(path: str, text: str, space: Space | None) -> str:
    """The part of a file that counts for equality: the point in a space's file, otherwise the normalised text."""
    if space is not None and path == space.file:
        found = document.read(path, text)
        return json.dumps([space.as_text(space.read(found)), space.write(found, {})], sort_keys=True)
    return rules.normalised(text)
