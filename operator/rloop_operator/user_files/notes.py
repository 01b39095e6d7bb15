"""Warnings about the folders of a manifest: content that is accepted but probably unintended.

Called by `rloop validate` and `rloop run`, which print them. `rloop_operator.user_files.folders` reports definite
errors.
"""

from __future__ import annotations

from collections.abc import Iterator

from rloop.api.loop_status import SealedTask
from rloop.api.reading.globs import matches
from rloop.api.researchloop import ResearchLoop
from rloop.errors import InputProblem
from rloop_operator.ports import Files
from rloop_operator.task_files import files_digest
from rloop_operator.user_files import commands, interpreter
from rloop_operator.user_files.reading import Folders


def folder_notes(loop: ResearchLoop, folders: Folders) -> list[InputProblem]:
    """Warnings about folders that have passed `check_folders`."""
    spec, task, code = loop.spec, folders.task, folders.evaluation
    found: list[InputProblem] = []
    if task:
        found += _without_a_match(spec.boundaries.editable, task)
        found += commands.notes(spec.experiment.command, task, "spec.experiment.command")
        variables = {one.name: one.value for one in spec.experiment.env}
        if "PYTHONPATH" not in variables:
            search = variables.get("PATH")
            found += interpreter.notes(spec.experiment.command, task, "spec.experiment.command", search)
    if code:
        found += commands.notes(spec.evaluation.command, code, "spec.evaluation.command")
        found += interpreter.notes(spec.evaluation.command, code, "spec.evaluation.command")
    return found


def frozen_notes(loop: ResearchLoop, sealed: SealedTask, folders: Folders) -> list[InputProblem]:
    """Folders that differ from the copy that was frozen when the campaign started. One that is gone is not needed."""
    spec, papers = loop.spec, loop.spec.agent.references
    found = []
    for field, source, files, digest in (
        ("spec.task.path", spec.task, folders.task, sealed.task),
        ("spec.evaluation.code.path", spec.evaluation.code, folders.evaluation, sealed.evaluation),
        ("spec.agent.references.path", papers, folders.references, sealed.references),
    ):
        if source is not None and files and files_digest(files) != digest:
            message = f'"{source.path}" was changed after the start; the version from the start is used'
            found.append(InputProblem(field, f"{message} (another --dir starts with the new one)"))
    return found


def _without_a_match(globs: list[str], task: Files) -> Iterator[InputProblem]:
    for index, glob in enumerate(globs):
        if not any(matches(path, [glob]) for path in task):
            message = (
                f'"{glob}" matches no file of the task: only new files could be proposed there; check its spelling'
            )
            yield InputProblem(f"spec.boundaries.editable[{index}]", message)
