"""Check, before anything is started, that the folders named by a manifest contain what a campaign needs.

Called by `rloop validate` and at Accept, through `rloop_operator.user_files.manifest`. It only reads; it writes and
runs nothing. `rloop_operator.task_files` checks whether a folder can be sealed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from rloop.admit.loop import glob_problem
from rloop.admit.space import FILE as SPACE
from rloop.api.reading import document as documents
from rloop.api.reading.globs import matches
from rloop.api.reading.problems import problems
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Space
from rloop.api.workload import HeldOut
from rloop.errors import BadInput, InputProblem
from rloop_operator.ports import Files
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
        search = next((one.value for one in spec.experiment.env if one.name == "PATH"), None)
        found += commands.problems(spec.experiment.command, task, "spec.experiment.command", search)
    if spec.agent.command is not None:
        found += commands.of_an_agent(spec.agent.command, base_dir, "spec.agent.command")
    found += commands.of_a_client(spec.agent)
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
        message = f"a policy needs {SPACE}, but the task has none; add one, or use another agent"
        return [InputProblem("spec.agent.policy", message)]
    try:
        document = parse_mapping(task[SPACE].content, SPACE)
        documents.read(SPACE, task[SPACE].content.decode())  # as the gateway and the agents read it
        space = Space.model_validate(document, by_alias=True, by_name=False)
    except BadInput as error:
        return list(error.problems)
    except ValidationError as error:
        return [_of_dimension(one, document) for one in problems(error, document, Space)]
    except ValueError as error:
        return [InputProblem(SPACE, str(error))]
    return _values(space, task, loop.spec.boundaries.editable)


def _of_dimension(problem: InputProblem, document: Mapping[str, object]) -> InputProblem:
    """The problem with the name of its dimension added, because an index such as dimensions[7] is hard to find."""
    head, bracket, _ = problem.field.removeprefix("dimensions[").partition("]")
    dimensions = document.get("dimensions")
    message = problem.message
    if bracket and head.isdigit() and isinstance(dimensions, list) and message.find('dimension "') != 0:
        one = dimensions[int(head)]
        name = one.get("name") if isinstance(one, Mapping) else None
        message = f'dimension "{name}": {message}' if name else message
    return InputProblem(f"{SPACE}: {problem.field}", message)


def _values(space: Space, task: Files, editable: list[str]) -> list[InputProblem]:
    """Problems of the file that the space varies: it must exist, be editable and readable, and match the space."""
    if space.file not in task:
        message = f'"{space.file}" is not in the task; give the file that holds the values'
        return [InputProblem(f"{SPACE}: file", message)]
    found = []
    if not matches(space.file, editable):
        message = f'does not cover "{space.file}", which {SPACE} varies, so every experiment would be rejected: add it'
        found.append(InputProblem("spec.boundaries.editable", message))
    try:
        parse(task[space.file].content, space.file)
        space.read(documents.read(space.file, task[space.file].content.decode()))
    except BadInput as error:
        found += error.problems
    except ValueError as error:
        found.append(InputProblem(space.file, str(error)))
    return found
