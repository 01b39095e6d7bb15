"""Admission of an experiment: files inside the boundaries, in the frame of an admitted direction, and new.

Called by the gateway with everything it knows. Pure, so that each rejection is one row in a table of tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from rloop import names
from rloop.admit.content import Content
from rloop.api.experiment import ChangedFile, ResearchExperimentSpec
from rloop.api.iteration import Direction
from rloop.api.space import Frame
from rloop.api.wire import ExperimentRequest
from rloop.campaign_state import Situation, never_tried
from rloop.errors import Refused


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted experiment."""

    name: str
    spec: ResearchExperimentSpec
    files: Mapping[str, str]
    """All files that differ from the task, so that the experiment is self-contained."""


def admit(request: ExperimentRequest, situation: Situation, content: Content, parent: str | None) -> Admitted:
    """The experiment that the request describes. `content` is the result of `content.examine` for its files, and
    `parent` the name of the experiment that they change (None: the task).

    Raises Refused: the reasons of `check_session`, OutsideFrame, SequenceTaken or Duplicate.
    """
    direction, incumbent = check_session(request, situation), situation.incumbent
    _check_frame(content.frame, direction)
    name = names.experiment(situation.session.name, request.sequence)
    _check_new(name, content.digest, _kind(request), situation)
    spec = ResearchExperimentSpec(
        loop_name=situation.loop.metadata.name,
        iteration=situation.iteration.spec.number,
        session=situation.session.name,
        sequence=request.sequence,
        kind=_kind(request),
        title=request.title,
        direction=direction.name,
        parent=parent,
        incumbent=incumbent.metadata.name if incumbent else names.baseline(situation.loop.metadata.name),
        frame=content.frame,
        point=content.point,
        files=[_described(path, text) for path, text in sorted(content.files.items())],
        digest=content.digest,
    )
    return Admitted(name, spec, content.files)


def check_session(request: ExperimentRequest, situation: Situation) -> Direction:
    """The direction of the experiment, if the session may propose one: the cheap checks, run before `examine`.

    Raises Refused: LimitReached, PivotRequired, DirectionMissing or DirectionUnknown.
    """
    direction = _direction(request, situation)
    _check_limits(request, situation)
    return direction


def _direction(request: ExperimentRequest, situation: Situation) -> Direction:
    if situation.pivot_demanded:
        raise Refused(
            "PivotRequired", "a pivot is required after a plateau: first propose a direction that changes the frame"
        )
    directions = situation.directions
    if not directions:
        raise Refused("DirectionMissing", "propose a direction first")
    if request.direction is None:
        return directions[-1]
    found = next((one for one in directions if one.name == request.direction), None)
    if found is None:
        raise Refused("DirectionUnknown", f'there is no direction "{request.direction}"; GET context lists them')
    if found.pivot < directions[-1].pivot:
        raise Refused(
            "PivotRequired",
            f"{found.name} ended with a pivot; the current direction is {directions[-1].name}",
        )
    return found


def _check_limits(request: ExperimentRequest, situation: Situation) -> None:
    name = names.experiment(situation.session.name, request.sequence)
    if name in situation.experiments:
        return
    kind, allowed = _kind(request), situation.session.max_experiments
    own = [one for one in situation.experiments.values() if one.spec.session == situation.session.name]
    if sum(one.spec.kind == kind for one in own) >= allowed:
        if request.smoke:
            raise Refused(
                "LimitReached",
                f"this session has used all of its {allowed} smoke tests: propose an experiment, or POST finish",
            )
        raise Refused("LimitReached", f"this session has proposed all of its {allowed} experiments: POST finish")
    if request.smoke:
        return
    limit = situation.loop.spec.budget.experiments
    proposed = situation.hidden + sum(one.spec.kind == "Candidate" for one in situation.experiments.values())
    if limit is not None and proposed >= limit:
        raise Refused("LimitReached", f"spec.budget.experiments ({limit}) is used up: POST finish")


def _check_frame(frame: Frame, direction: Direction) -> None:
    if frame and frame != direction.frame:  # empty without a search space
        moved = sorted(name for name in frame if frame[name] != direction.frame.get(name))
        told = ", ".join(f'{name} is "{frame[name]}" and not "{direction.frame.get(name)}"' for name in moved)
        raise Refused(
            "OutsideFrame",
            f"direction {direction.name}: {told}; stay in the frame of this direction, or propose a new direction",
        )


def _kind(request: ExperimentRequest) -> Literal["Candidate", "Smoke"]:
    return "Smoke" if request.smoke else "Candidate"


def _check_new(name: str, own: str, kind: str, situation: Situation) -> None:
    """Reject a name of other files, and a duplicate. Smoke tests and proposals are compared separately.

    So a smoke-tested experiment can be proposed, and a proposed one can be smoke-tested. A name can never be used
    again. The same files can, if their experiment was withdrawn before any run started.
    """
    alike = {key: one for key, one in situation.experiments.items() if (one.spec.kind == "Smoke") == (kind == "Smoke")}
    same = next((key for key, one in alike.items() if one.spec.digest == own and not never_tried(one)), None)
    if name in situation.experiments:
        if name in alike and alike[name].spec.digest == own:
            return
        raise Refused("SequenceTaken", f"{name} exists with other files: use the next sequence number")
    if same is not None:
        raise Refused("Duplicate", f"{same} is the same experiment: change something else")


def _described(path: str, text: str) -> ChangedFile:
    content = text.encode()
    return ChangedFile(path=path, sha256=sha256(content).hexdigest(), size=len(content))
