"""Check and hash the inputs that are frozen once a campaign is Accepted: task, evaluation, references, held-out data.

Called by `store.LocalStore.seal`. Held-out data is hashed and not copied: it may be large, and data that only the
verifier may see should not exist in a second place.
"""

from __future__ import annotations

from pathlib import Path

from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import HeldOut
from rloop.errors import BadInput, InputProblem
from rloop_operator import task_files
from rloop_operator.task_files import TreeProblem, digest_tree
from rloop_operator.user_files.reading import Folders, shown_to_agents

HELD_OUT_BYTES = 2**40
"""Size limit of held-out data in bytes. It is high because the data is only hashed; hashing time is the real limit."""


def hashes(loop: ResearchLoop, folders: Folders, run_folder: Path) -> SealedTask:
    """The hashes of everything that is frozen. Raises BadInput with every problem."""
    spec, base = loop.spec, folders.base
    problems = [*folders.problems, *shown_to_agents(loop, base)]
    if spec.task.path is not None and run_folder.resolve().is_relative_to((base / spec.task.path).resolve()):
        message = f'the run folder "{run_folder}" lies inside the task; give one outside it with --dir'
        problems.append(InputProblem("spec.task.path", message))
    held_out = _hash(spec.evaluation.held_out, base, "spec.evaluation.heldOut.path", problems)
    final = _hash(spec.evaluation.final_held_out, base, "spec.evaluation.finalHeldOut.path", problems)
    if problems:
        raise BadInput(*problems)
    references = folders.references if spec.agent.references is not None else None
    sealed = task_files.seal(loop, folders.task, folders.evaluation, references)
    return sealed.changed(held_out=held_out, final_held_out=final)


def _hash(source: HeldOut | None, base: Path, field: str, problems: list[InputProblem]) -> str | None:
    if source is None or source.path is None:
        return None
    path = base / source.path
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
