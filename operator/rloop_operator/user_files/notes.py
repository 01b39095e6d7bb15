"""Warnings about the folders of a manifest: content that is accepted but probably unintended.

Called by `rloop validate` and `rloop run`, which print them. `rloop_operator.user_files.folders` reports definite
errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rloop.api.loop_status import SealedTask
from rloop.api.reading.globs import matches
from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import Files
from rloop_operator.task_files import files_digest, read_folder
from rloop_operator.user_files import commands, interpreter


def folder_notes(loop: ResearchLoop, base_dir: Path) -> list[InputProblem]:
    """Warnings about folders that have passed `check_folders`."""
    spec = loop.spec
    found: list[InputProblem] = []
    task, code = _files(base_dir, spec.task.path), _files(base_dir, spec.evaluation.code.path)
    if task is not None:
        found += _without_a_match(spec.boundaries.editable, task)
        found += commands.notes(spec.experiment.command, task, "spec.experiment.command")
        variables = {one.name: one.value for one in spec.experiment.env}
        if "PYTHONPATH" not in variables:
            search = variables.get("PATH")
            found += interpreter.notes(spec.experiment.command, task, "spec.experiment.command", search)
    if code is not None:
        found += commands.notes(spec.evaluation.command, code, "spec.evaluation.command")
        found += interpreter.notes(spec.evaluation.command, code, "spec.evaluation.command")
    return found


def frozen_notes(loop: ResearchLoop, sealed: SealedTask, base_dir: Path) -> list[InputProblem]:
    """Folders that differ from the copy that was frozen when the campaign started."""
    spec = loop.spec
    found = []
    for field, path, digest in (
        ("spec.task.path", spec.task.path, sealed.task),
        ("spec.evaluation.code.path", spec.evaluation.code.path, sealed.evaluation),
    ):
        files = _files(base_dir, path)
        if files is not None and files_digest(files) != digest:
            message = f'"{path}" was changed after the start; the version from the start is used'
            found.append(InputProblem(field, f"{message} (another --dir starts with the new one)"))
    return found


def _files(base_dir: Path, path: str | None) -> Files | None:
    """The files; None if they cannot be read, which another check reports or which no longer matters."""
    if path is None:
        return None
    try:
        return read_folder(base_dir / path, "")
    except BadInput:
        return None


def _without_a_match(globs: list[str], task: Files) -> Iterator[InputProblem]:
    for index, glob in enumerate(globs):
        if not any(matches(path, [glob]) for path in task):
            message = (
                f'"{glob}" matches no file of the task: only new files could be proposed there; check its spelling'
            )
            yield InputProblem(f"spec.boundaries.editable[{index}]", message)
