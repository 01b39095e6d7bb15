"""Read the folders that a manifest names, once for everyone who needs their files.

Called by `rloop run`, `rloop validate` and `rloop pack`, which hand the result to the checks, to the notes and to the
local store, and by that store itself when it seals the task of a campaign that an earlier process created.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rloop.api.researchloop import ResearchLoop
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import Files
from rloop_operator.task_files import read_folder


@dataclass(frozen=True, slots=True)
class Folders:
    """The files of each folder; no files if the manifest does not name the folder, or if it cannot be read.

    Held-out data is not among them, because it may be large.
    """

    base: Path
    """The folder of the manifest."""
    task: Files
    evaluation: Files
    references: Files
    problems: tuple[InputProblem, ...]
    """Why folders cannot be read."""


def read_folders(loop: ResearchLoop, base: Path) -> Folders:
    """Read the folders of the loop's manifest; `base` is the folder of the manifest."""
    spec, papers, found = loop.spec, loop.spec.agent.references, list[InputProblem]()

    def read(path: str | None, field: str) -> Files:
        try:
            return {} if path is None else read_folder(base / path, field)
        except BadInput as error:
            found.extend(error.problems)
            return {}

    task = read(spec.task.path, "spec.task.path")
    evaluation = read(spec.evaluation.code.path, "spec.evaluation.code.path")
    references = read(papers.path if papers else None, "spec.agent.references.path")
    return Folders(base, task, evaluation, references, tuple(found))


def shown_to_agents(loop: ResearchLoop, base: Path) -> list[InputProblem]:
    """Problems of the verifier's folders that lie inside a folder that agents can read."""
    spec, evaluation = loop.spec, loop.spec.evaluation
    hidden = {"code": evaluation.code, "heldOut": evaluation.held_out, "finalHeldOut": evaluation.final_held_out}
    return [
        InputProblem(
            f"spec.evaluation.{name}.path",
            f'"{source.path}" lies inside {told}, which agents can read; move it beside that folder',
        )
        for shown, told in ((spec.agent.references, "the references"), (spec.task, "the task"))
        if shown is not None and shown.path is not None
        for name, source in hidden.items()
        if source is not None
        and source.path is not None
        and (base / source.path).resolve().is_relative_to((base / shown.path).resolve())
    ]
