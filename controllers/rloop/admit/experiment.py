"""What the gateway lets in as an experiment: files inside the boundaries, in an admitted direction's frame, and new.

Called by the gateway with everything it knows; pure, so that each refusal is a row in a table of tests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

import yaml

from rloop import names
from rloop.admit import files as rules
from rloop.api.experiment import ChangedFile, ResearchExperiment, ResearchExperimentSpec
from rloop.api.globs import matches
from rloop.api.iteration import Direction, ResearchIteration, SessionSpec
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Frame, Space
from rloop.api.wire import FILE_BYTES, ExperimentRequest
from rloop.errors import Refused


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the admission of one experiment looks at."""

    loop: ResearchLoop
    iteration: ResearchIteration
    session: SessionSpec
    directions: Sequence[Direction]
    """All that were admitted, oldest first."""
    pivot_demanded: bool
    experiments: Mapping[str, ResearchExperiment]
    incumbent: str
    task: Mapping[str, str]
    """Text files of the sealed task."""
    parent: Mapping[str, str]
    """The parent's changed files."""
    parent_name: str | None
    space: Space | None
    hidden: int = 0
    """Candidates that the session is not shown; they count all the same."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What passed."""

    name: str
    spec: ResearchExperimentSpec
    files: Mapping[str, str]
    """All files that differ from the task: self-contained."""


def admit(request: ExperimentRequest, facts: Facts) -> Admitted:
    """The experiment that the request describes.

    Raises Refused: LimitReached, PivotRequired, DirectionMissing, DirectionUnknown, PathInvalid, Sealed, TooLarge,
    TooManyFiles, TooManyLines, NothingChanged, OutsideSpace, OutsideFrame, SequenceTaken or Duplicate.
    """
    direction = _direction(request, facts)
    _check_limits(request, facts)
    files = _whole_difference(request, facts)
    frame = _check_frame(files, facts, direction)
    own = rules.digest({path: _meaning(path, text, facts.space) for path, text in files.items()})
    name = names.experiment(facts.session.name, request.sequence)
    _check_new(name, own, _kind(request), facts)
    spec = ResearchExperimentSpec(
        loop_name=facts.loop.metadata.name,
        iteration=facts.iteration.spec.number,
        session=facts.session.name,
        sequence=request.sequence,
        kind=_kind(request),
        title=request.title,
        direction=direction.name,
        parent=facts.parent_name,
        incumbent=facts.incumbent,
        frame=frame,
        files=[_described(path, text) for path, text in sorted(files.items())],
        digest=own,
    )
    return Admitted(name, spec, files)


def _direction(request: ExperimentRequest, facts: Facts) -> Direction:
    if facts.pivot_demanded:
        raise Refused("PivotRequired", "a plateau was reached: POST a direction that changes the frame first")
    if not facts.directions:
        raise Refused("DirectionMissing", "POST a direction first")
    if request.direction is None:
        return facts.directions[-1]
    found = next((one for one in facts.directions if one.name == request.direction), None)
    if found is None:
        raise Refused("DirectionUnknown", f'there is no direction "{request.direction}"; GET context lists them')
    if found.pivot < facts.directions[-1].pivot:
        raise Refused(
            "PivotRequired",
            f"{found.name} was left by a pivot; the present direction is {facts.directions[-1].name}",
        )
    return found


def _check_limits(request: ExperimentRequest, facts: Facts) -> None:
    name = names.experiment(facts.session.name, request.sequence)
    if name in facts.experiments:
        return
    kind, allowed = _kind(request), facts.session.max_experiments
    own = [one for one in facts.experiments.values() if one.spec.session == facts.session.name]
    if sum(one.spec.kind == kind for one in own) >= allowed:
        if request.smoke:
            raise Refused("LimitReached", f"this session has made its {allowed} smoke tests: propose, or POST finish")
        raise Refused("LimitReached", f"this session has proposed its {allowed} experiments: POST finish")
    if request.smoke:
        return
    limit = facts.loop.spec.budget.experiments
    proposed = facts.hidden + sum(one.spec.kind == "Candidate" for one in facts.experiments.values())
    if limit is not None and proposed >= limit:
        raise Refused("LimitReached", f"spec.budget.experiments ({limit}) is used up: POST finish")


def _whole_difference(request: ExperimentRequest, facts: Facts) -> dict[str, str]:
    """All files that differ from the task when the request's lie over the parent's."""
    boundaries = facts.loop.spec.boundaries
    for path in request.files:
        rules.check_path(path)
    before = {**facts.task, **facts.parent}
    after = {**before, **request.files}
    different = rules.changed(facts.task, after)
    sealed = [path for path in different if not matches(path, boundaries.editable)]
    if sealed:
        allowed = ", ".join(boundaries.editable)
        raise Refused("Sealed", f'"{sealed[0]}" is sealed; spec.boundaries.editable allows {allowed}')
    against_parent = rules.changed(before, after)
    if not different or not against_parent:
        raise Refused("NothingChanged", "the files are the same as the parent's (or the task's): change something")
    if len(against_parent) > boundaries.max_files:
        raise Refused(
            "TooManyFiles",
            f"{len(against_parent)} files differ from the parent; at most {boundaries.max_files} may",
        )
    for path in against_parent:
        count = rules.changed_lines(before.get(path, ""), after[path])
        if count > boundaries.max_lines_per_file:
            told = f'"{path}" changes {count} lines against the parent; at most {boundaries.max_lines_per_file} may'
            raise Refused("TooManyLines", told)
    size = sum(len(after[path].encode()) for path in different)
    if size > FILE_BYTES:
        raise Refused(
            "TooLarge",
            f"the changed files hold {size} bytes; at most {FILE_BYTES} may: generate data at run time",
        )
    return {path: after[path] for path in different}


def _check_frame(files: Mapping[str, str], facts: Facts, direction: Direction) -> Frame:
    space = facts.space
    if space is None:
        return {}
    text = files.get(space.file, facts.task.get(space.file, ""))
    try:
        frame = space.frame_of(space.read(parse(space.file, text)))
    except ValueError as error:
        raise Refused("OutsideSpace", f"{space.file}: {error}") from error
    if frame != direction.frame:
        moved = sorted(name for name in frame if frame[name] != direction.frame.get(name))
        told = ", ".join(f'{name} is "{frame[name]}" and not "{direction.frame.get(name)}"' for name in moved)
        raise Refused("OutsideFrame", f"direction {direction.name}: {told}; stay in its frame, or POST a new one")
    return frame


def parse(path: str, text: str) -> Any:
    """The document in a .json or .yaml text. Raises ValueError with a sentence."""
    try:
        return json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        message = f"it cannot be read as {'JSON' if path.endswith('.json') else 'YAML'}: {str(error).splitlines()[0]}"
        raise ValueError(message) from error


def _meaning(path: str, text: str, space: Space | None) -> str:
    """What of a file counts for equality: the point of a space's file, the normalised text of any other."""
    if space is not None and path == space.file:
        document = parse(path, text)
        rest = space.write(document, {})
        return json.dumps([space.read(document), rest], sort_keys=True)
    return rules.normalised(text)


def _kind(request: ExperimentRequest) -> Literal["Candidate", "Smoke"]:
    return "Smoke" if request.smoke else "Candidate"


def _check_new(name: str, own: str, kind: str, facts: Facts) -> None:
    """What a smoke test showed to start may be proposed, and what was proposed may be smoke-tested."""
    alike = {key: one for key, one in facts.experiments.items() if (one.spec.kind == "Smoke") == (kind == "Smoke")}
    same = next((key for key, one in alike.items() if one.spec.digest == own), None)
    if name in facts.experiments:
        if name in alike and alike[name].spec.digest == own:
            return
        raise Refused("SequenceTaken", f"{name} exists with other files: use the next sequence number")
    if same is not None:
        raise Refused("Duplicate", f"{same} is the same experiment: change something that matters")


def _described(path: str, text: str) -> ChangedFile:
    content = text.encode()
    return ChangedFile(path=path, sha256=sha256(content).hexdigest(), size=len(content))
