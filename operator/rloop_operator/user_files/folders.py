"""Check, before anything is started, that the folders named by a manifest contain what a campaign needs.

Called by `rloop validate`, and by `rloop run` before it creates a campaign. It only reads; it writes and runs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from rloop.admit.loop import glob_problem
from rloop.admit.space import FILE as SPACE
from rloop.admit.space import look
from rloop.api.researchloop import ResearchLoop
from rloop.api.workload import HeldOut
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import Files
from rloop_operator.task_files import texts
from rloop_operator.user_files import commands
from rloop_operator.user_files.reading import Folders, shown_to_agents
from rloop_operator.user_files.yaml_file import parse, parse_mapping


def check_folders(loop: ResearchLoop, folders: Folders) -> list[InputProblem]:
    """All problems of the folders that the manifest names."""
    spec, base_dir, task, code = loop.spec, folders.base, folders.task, folders.evaluation
    found = list(folders.problems)
    for name, held_out in (
        ("heldOut", spec.evaluation.held_out),
        ("finalHeldOut", spec.evaluation.final_held_out),
    ):
        found += _held_out(base_dir, held_out, f"spec.evaluation.{name}.path")
    found += shown_to_agents(loop, base_dir)
    if task:
        found += _editable(spec.boundaries.editable, task)
        found += _space(loop, task)
        search = commands.path_of(spec.experiment.env)
        found += commands.problems(spec.experiment.command, task, "spec.experiment.command", search)
    found += commands.of_an_agent(spec.agent, base_dir)
    if code:
        found += commands.problems(spec.evaluation.command, code, "spec.evaluation.command", None)
    return found


def _held_out(base_dir: Path, held_out: HeldOut | None, field: str) -> list[InputProblem]:
    """Problems of a held-out folder. Its files are listed and not read, because they may be large."""
    if held_out is None or held_out.path is None:
        return []
    folder = base_dir / held_out.path
    if not folder.is_dir():
        said = "is a file" if folder.exists() else "does not exist"
        return [InputProblem(field, f'the folder "{folder}" {said}; give a folder relative to the manifest')]
    found: list[InputProblem] = []
    empty = True

    def unreadable(error: OSError) -> None:
        message = f'"{error.filename}" cannot be read ({error.strerror}); make it readable'
        found.append(InputProblem(field, message))

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        for name in (*folders, *names):
            path = Path(parent, name)
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                found.append(
                    InputProblem(
                        field, f'"{path}" is a link that points outside the folder; copy the content of its target'
                    )
                )
            elif path.is_file() and not os.access(path, os.R_OK):
                found.append(InputProblem(field, f'"{path}" cannot be read; make it readable'))
        empty = empty and not names
    if empty and not found:
        found.append(InputProblem(field, f'the folder "{folder}" has no files'))
    return found


def _editable(globs: list[str], task: Files) -> list[InputProblem]:
    found = []
    for index, glob in enumerate(globs):
        said = glob_problem(glob)
        if glob in task:
            continue
        if said is None and any(path.startswith(f"{glob}/") for path in task):
            said = f'"{glob}" is a folder; write "{glob}/**" for everything in it'
        if said is not None:
            found.append(InputProblem(f"spec.boundaries.editable[{index}]", said))
    return found


def _space(loop: ResearchLoop, task: Files) -> list[InputProblem]:
    if SPACE not in task:
        if loop.spec.agent.policy is None:
            return []
        without = "use another agent" if loop.spec.agent.searcher is not None else "remove policy"
        message = f"a policy needs {SPACE}, but the task has none; add one, or {without}"
        return [InputProblem("spec.agent.policy", message)]
    named, empty = None, "name the file of the values and their dimensions (docs/task-contract.md)"
    try:
        named = parse_mapping(task[SPACE].content, SPACE, empty).get("file")
        if isinstance(named, str) and named in task and named.endswith((".yaml", ".yml", ".json")):
            parse(task[named].content, named, f"write the values into it that {SPACE} varies")  # it names the line
        look(texts(task), loop.spec.boundaries.editable)
    except BadInput as error:
        folder = Path(loop.spec.task.path or "")
        return [_in_folder(one, folder, (SPACE, named)) for one in error.problems]
    return []


def _in_folder(problem: InputProblem, folder: Path, files: Iterable[object]) -> InputProblem:
    """A problem of one of these files of the task, with its path relative to the manifest, as the user knows it."""
    file, colon, rest = problem.field.partition(":")
    return InputProblem(f"{folder / file}{colon}{rest}", problem.message) if file in files else problem
