"""Read the inputs that are frozen once a campaign is Accepted: task, evaluation, references and held-out data.

Called by `store.LocalStore.seal`. Held-out data is hashed and not copied: it may be large, and data that only the
verifier may see should not exist in a second place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import HeldOut
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import File
from rloop_operator.task_files import MAX_FOLDER_BYTES, TreeProblem, digest_tree, files_digest, read_folder

HELD_OUT_BYTES = 2**40
"""Size limit of held-out data in bytes. It is high because the data is only hashed; hashing time is the real limit."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The files and their hashes."""

    hashes: SealedTask
    task: dict[str, File]
    evaluation: dict[str, File]
    references: dict[str, File]
    """Empty if the loop has no references."""


def read_sealed(loop: ResearchLoop, base: Path, run_folder: Path, max_bytes: int = MAX_FOLDER_BYTES) -> Sealed:
    """Read and hash the folders that the manifest names, relative to `base`. Raises BadInput with every problem."""
    spec = loop.spec
    problems: list[InputProblem] = []
    task_path = _folder(spec.task.path, base, "spec.task", problems)
    code_path = _folder(spec.evaluation.code.path, base, "spec.evaluation.code", problems)
    held_out = held_out_folder(spec.evaluation.held_out, base, "spec.evaluation.heldOut", problems)
    final = held_out_folder(spec.evaluation.final_held_out, base, "spec.evaluation.finalHeldOut", problems)
    papers = spec.agent.references
    papers_path = _folder(papers.path, base, "spec.agent.references", problems) if papers is not None else None
    for shown, told in ((task_path, "the task"), (papers_path, "the references")):
        if shown is not None:
            # Agents can read these folders completely, so hidden files must not be inside them.
            _outside(code_path, shown, told, "spec.evaluation.code.path", problems)
            _outside(held_out, shown, told, "spec.evaluation.heldOut.path", problems)
            _outside(final, shown, told, "spec.evaluation.finalHeldOut.path", problems)
    if task_path is not None and run_folder.resolve().is_relative_to(task_path.resolve()):
        message = f'the run folder "{run_folder}" lies inside the task; give one outside it with --dir'
        problems.append(InputProblem("spec.task.path", message))
    if problems:
        raise BadInput(*problems)
    task = _read(task_path, "spec.task.path", max_bytes, problems)
    evaluation = _read(code_path, "spec.evaluation.code.path", max_bytes, problems)
    references = {}
    if papers_path is not None:
        references = _read(papers_path, "spec.agent.references.path", max_bytes, problems)
    held_out_hash = _hash(held_out, "spec.evaluation.heldOut.path", problems)
    final_hash = _hash(final, "spec.evaluation.finalHeldOut.path", problems)
    if problems:
        raise BadInput(*problems)
    hashes = SealedTask(
        task=files_digest(task),
        evaluation=files_digest(evaluation),
        held_out=held_out_hash,
        final_held_out=final_hash,
        references=files_digest(references) if papers is not None else None,
    )
    return Sealed(hashes, task, evaluation, references)


def held_out_folder(
    source: HeldOut | None, base: Path, field: str, problems: list[InputProblem] | None = None
) -> Path | None:
    """The folder with the data; None if it is unset."""
    if source is None:
        return None
    return _folder(source.path, base, field, [] if problems is None else problems)


def _folder(path: str | None, base: Path, field: str, problems: list[InputProblem]) -> Path | None:
    if path is None:
        problems.append(
            InputProblem(field, "the local shell reads folders only; give path: FOLDER, relative to the manifest")
        )
        return None
    return base / path


def _outside(path: Path | None, shown: Path, told: str, field: str, problems: list[InputProblem]) -> None:
    if path is not None and path.resolve().is_relative_to(shown.resolve()):
        problems.append(
            InputProblem(field, f'"{path}" lies inside {told}, which agents can read; move it beside that folder')
        )


def _read(path: Path | None, field: str, max_bytes: int, problems: list[InputProblem]) -> dict[str, File]:
    assert path is not None
    try:
        return read_folder(path, field, max_bytes=max_bytes)
    except BadInput as error:
        problems.extend(error.problems)
        return {}


def _hash(path: Path | None, field: str, problems: list[InputProblem]) -> str | None:
    if path is None:
        return None
    if not path.is_dir():
        problems.append(
            InputProblem(field, f'the folder "{path}" does not exist; give a folder relative to the manifest')
        )
        return None
    try:
        return digest_tree(str(path), HELD_OUT_BYTES)
    except (TreeProblem, OSError) as error:
        problems.append(InputProblem(field, f'"{path}" cannot be hashed ({error}); make all of it readable'))
        return None
