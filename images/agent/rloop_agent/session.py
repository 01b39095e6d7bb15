"""One session of a policy agent, from its context to its handoff.

Called by `__main__` with the gateway over HTTP, and by simulations with a gateway in memory. As the design requires of
a policy agent, it stays in its frame until a pivot is demanded, and then changes the frame first. Clock and random
generator are always passed in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from random import Random

from rloop.api.iteration import Direction
from rloop.api.session_context import Context
from rloop.api.space import Frame, Point, Space
from rloop.api.wire import ExperimentRequest, FinishRequest
from rloop_agent import handoff
from rloop_agent.gateway import Closed, Gateway, Refused
from rloop_agent.log import Log, silent
from rloop_agent.policies import random_search
from rloop_agent.policies.frames import as_direction, as_text, untried
from rloop_agent.policies.ground import Ground, Policy
from rloop_agent.recipe import BadRecipe
from rloop_agent.start import (
    Start,
    current_direction,
    frame_to_stay_in,
    ground,
    has_points_left,
    look,
    tried_frames,
    tried_points,
)

SHARE_OF_TIME = 0.8
"""Share of the session's time for proposals; the rest is for the last request and the handoff."""
REFUSALS = 20
"""Consecutive refusals after which a session gives up its frame, or its search for a new one."""
LAST_REFUSALS = frozenset({"PivotRequired", "LimitReached"})
"""Refusals that every further proposal of this session would get."""
TITLE = 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended."""

    handoff: str
    proposed: tuple[str, ...] = ()
    """Names of its experiments."""
    rounds: int = 0
    closed: bool = False
    """The operator ended the session; there is no handoff."""


@dataclass(slots=True)
class _Progress:
    """What the session has done so far."""

    rounds: int = 0
    sequence: int = 1
    """Sequence of the next proposal. Not the round: a refused proposal does not use a sequence number."""
    names: list[str] = field(default_factory=list)
    why: str = ""
    """Why it ended before its allowance was used up."""


def _no_round(_: int) -> None:
    """Ignore the round."""


def _never() -> bool:
    return False


def _no_wait(_: float) -> bool:
    return False


def _no_nudge() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process passes to a session; a simulation uses the defaults."""

    clock: Callable[[], float] = time.monotonic
    on_round: Callable[[int], None] = _no_round
    """Called with each round's number before its proposal; may raise Closed."""
    stop: Callable[[], bool] = _never
    """Called before each round: whether the process was asked to end."""
    wait: Callable[[float], bool] = _no_wait
    """Signature of Event.wait: returns True if the process was asked to end."""
    nudge: Callable[[], str | None] = _no_nudge
    """The operator's latest nudge, once."""
    log: Log = silent


def run(
    gateway: Gateway,
    policy: Policy,
    seed: int,
    session_name: str,
    around: Surroundings = Surroundings(),
) -> Outcome:
    """Propose until an allowance is used up, then hand over.

    Raises Unauthorized and Unreachable; everything else that may happen to a session is an outcome.
    """
    session = _Session(gateway, policy, Random(f"{seed}/{session_name}"), session_name, around)
    try:
        text = session.work()
        gateway.finish(FinishRequest(handoff=text))
    except Closed as closed:
        around.log("info", "closed", message=str(closed))
        return Outcome("", tuple(session.done.names), session.done.rounds, closed=True)
    except Refused as refused:
        # The session is over anyway; a refused handoff does not change that.
        text = f"Ended because the gateway rejected a request: {refused}"
        around.log("warning", "refused", reason=refused.reason, message=refused.message)
    around.log("info", "finished", handoff=text, rounds=session.done.rounds, proposed=len(session.done.names))
    return Outcome(text, tuple(session.done.names), session.done.rounds)


class _Session:
    """The steps of one session."""

    def __init__(self, gateway: Gateway, policy: Policy, dice: Random, name: str, around: Surroundings) -> None:
        self._gateway = gateway
        self._policy = policy
        self._dice = dice
        self._name = name
        self._around = around
        self._log = around.log
        self._began = around.clock()
        self.done = _Progress()

    def work(self) -> str:
        """Everything from the first request to the handoff, which it returns."""
        context = self._gateway.context()
        if context.space is None:
            return self._nothing("The task has no space.yaml, and a policy agent can vary nothing else.")
        try:
            start = look(context.space, context, self._gateway.task())
        except BadRecipe as error:
            return self._nothing(f"The recipe cannot be read: {error}")
        if start.warning:
            self._log("warning", "incumbent unreadable", message=start.warning)
        experiments = self._gateway.experiments()
        start = replace(start, known=[*start.known, *tried_points(context.space, experiments)])
        pivoting = context.demand == "Pivot"
        direction = self._pivot(start, context) if pivoting else self._stay(context.space, context)
        if direction is None:
            return self._nothing(self.done.why)
        frame = direction.frame if pivoting else frame_to_stay_in(context.space, context)
        searched = ground(start, frame, experiments, context)
        self._log("info", "frame", frame=frame, direction=direction.name, pivot=pivoting)
        try:
            self._propose(context, start, searched, direction, pivoting=pivoting)
        except BadRecipe as error:
            return self._nothing(str(error))
        return handoff.text(context, frame, pivoting, self.done.names, self.done.why, self._gateway.experiments())

    def _nothing(self, sentence: str) -> str:
        self._log("warning", "nothing proposed", message=sentence)
        return handoff.cut(f"Nothing was proposed. {sentence}")

    def _stay(self, space: Space, context: Context) -> Direction | None:
        """The current direction; the first session of a campaign proposes it."""
        direction = current_direction(context)
        if direction is not None:
            return direction
        return self._admitted(space, [frame_to_stay_in(space, context)])

    def _pivot(self, start: Start, context: Context) -> Direction | None:
        """A direction in the nearest untried frame that is admitted; if all were tried, in another frame."""
        tried = tried_frames(start, context)
        direction = self._admitted(start.space, untried(start.space, start.frame, tried, self._dice))
        if direction is not None or self.done.why:
            return direction
        self._log("info", "every frame was tried", frames=len(tried))
        present = frame_to_stay_in(start.space, context)
        back = [start.frame] if start.frame != present or not start.space.structural else []  # the incumbent's first

        def others() -> Iterator[Frame]:
            return chain(back, untried(start.space, start.frame, [present], self._dice))

        direction = self._admitted(start.space, (frame for frame in others() if has_points_left(start, frame)))
        if direction is None and has_points_left(start, present) and not self.done.why:
            # The remaining points are in the frame that must be left: a pivot leads away, and the next one back.
            direction = self._admitted(start.space, others())
        if direction is None and not self.done.why:
            self.done.why = "A pivot is required, but all points of the other frames were tried."
        return direction

    def _admitted(self, space: Space, frames: Iterable[Frame]) -> Direction | None:
        for refusals, frame in enumerate(frames, start=1):
            try:
                return self._gateway.post_direction(as_direction(space, frame))
            except Refused as refused:
                self._log("info", "direction refused", frame=frame, reason=refused.reason, message=refused.message)
                # A retry of a request whose response was lost is refused: check whether the first one was recorded.
                ours = self._own_direction(frame)
                if ours is not None:
                    return ours
                self.done.why = f"No direction was admitted; last rejection: {refused}"
                if refusals >= REFUSALS or refused.reason in LAST_REFUSALS:
                    return None
        return None

    def _own_direction(self, frame: Frame) -> Direction | None:
        directions = self._gateway.context().directions
        found = [one for one in directions if one.session == self._name and one.frame == frame]
        return found[-1] if found else None

    def _propose(
        self, context: Context, start: Start, searched: Ground, direction: Direction, *, pivoting: bool
    ) -> None:
        known = list(start.known)
        refusals = 0
        self.done.sequence = context.session.next_sequence
        while self._may_go_on(context):
            point = self._next(searched, known, pivoting=pivoting)
            if point is None:
                self.done.why = "All points of this frame were tried."
                return
            known.append(point)
            self.done.rounds += 1
            self._around.on_round(self.done.rounds)
            request = ExperimentRequest(
                sequence=self.done.sequence,
                title=_title(searched, point),
                parent=start.parent,
                direction=direction.name,
                files=start.changed_files(point),
            )
            try:
                view = self._gateway.post_experiment(request)
            except Refused as refused:
                self._log("info", "refused", title=request.title, reason=refused.reason, message=refused.message)
                if refused.reason == "SequenceTaken":
                    # Used by an earlier process of this session, which died before it got the response.
                    self.done.sequence += 1
                refusals += 1
                if refusals >= REFUSALS or refused.reason in LAST_REFUSALS:
                    self.done.why = f"Last rejection: {refused}"
                    return
                continue
            refusals = 0
            self.done.sequence += 1
            self.done.names.append(view.name)
            self._log("info", "proposed", experiment=view.name, title=view.title)

    def _may_go_on(self, context: Context) -> bool:
        allowance = context.session
        if self._around.stop():
            self.done.why = "The process was asked to stop."
        elif self._around.clock() - self._began >= SHARE_OF_TIME * allowance.session_seconds:
            self.done.why = "The session's time was used up."
        else:
            # Proposals of an earlier process of this session count as well.
            left = allowance.max_experiments + 1 - allowance.next_sequence
            return len(self.done.names) < left and self.done.rounds < allowance.max_rounds
        return False

    def _next(self, searched: Ground, known: list[Point], *, pivoting: bool) -> Point | None:
        if not pivoting:
            return self._policy(searched, known, self._dice)
        # A new frame is unknown: first the coefficients that are expected to be good, then random ones.
        if searched.centre not in known:
            return searched.centre
        return random_search.propose(searched, known, self._dice)


def _title(searched: Ground, point: Point) -> str:
    shown = ", ".join(f"{dimension.name}={point[dimension.name]}" for dimension in searched.coordinates)
    return (shown or as_text(searched.frame))[:TITLE]
