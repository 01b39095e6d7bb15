"""Common parts of the gateway's verbs: the caller's situation, its permissions, and writes that detect conflicts.

Base class of `gateway.verbs.service`; used by `gateway.verbs.read`, `gateway.verbs.claims` and `gateway.verbs.propose`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from rloop import names
from rloop.admit.space import FILE as SPACE_FILE
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import Reported, ResearchIteration, Role
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Space
from rloop.campaign_state import Situation, session_over
from rloop.errors import Conflict, Refused
from rloop.session_view import visibility
from rloop_operator.gateway.verbs.space_file import space_of
from rloop_operator.ports import Caller, Store
from rloop_operator.task_files import texts

WRITE_TRIES = 20
Answer = TypeVar("Answer")


async def until_written(attempt: Callable[[], Awaitable[Answer | None]]) -> Answer:
    """The answer of the first attempt that no other writer came before; each begins with what is stored then.

    An attempt returns None if another writer was first. Raises Refused(Busy) after WRITE_TRIES attempts.
    """
    for _ in range(WRITE_TRIES):
        answer = await attempt()
        if answer is not None:
            return answer
    raise Refused("Busy", "too many concurrent writers: try again")


class CallerView:
    """The store as the verbs use it. `now` returns the time, `changed` wakes the operator."""

    def __init__(self, store: Store, *, now: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self.store = store
        self.now = now
        self.changed = changed
        self.closing = False
        """Set while the operator shuts down: heartbeats then ask sessions to finish."""

    async def situation(self, caller: Caller) -> Situation:
        """The campaign's state as far as the calling session may see it. Raises Refused(Forbidden)."""
        if caller.role != "agent":
            raise Refused("Forbidden", f"a {caller.role} may not call the verbs of an agent")
        iteration = await self.store.get(ResearchIteration, caller.owner)
        session = next(one for one in iteration.spec.sessions if one.name == caller.session)
        whole = Situation(
            loop=await self.store.get(ResearchLoop, caller.loop),
            iteration=iteration,
            session=session,
            iterations={one.metadata.name: one for one in await self.store.list(ResearchIteration, caller.loop)},
            experiments={one.metadata.name: one for one in await self.store.list(ResearchExperiment, caller.loop)},
        )
        return visibility.of_session(whole)

    async def role(self, caller: Caller) -> Role | None:
        """The role of the caller's session; None if the caller has no session."""
        if caller.role != "agent":
            return None
        iteration = await self.store.get(ResearchIteration, caller.owner)
        return next((one.role for one in iteration.spec.sessions if one.name == caller.session), None)

    async def open(self, caller: Caller) -> Situation:
        """The situation, if the session is not over. Raises Refused (Closed, Forbidden)."""
        situation = await self.situation(caller)
        if self._ends(situation.loop, situation.iteration, caller):
            raise Refused("Closed", "this session is over: POST finish and end")
        if caller.session in situation.iteration.status.reported.finished:
            raise Refused("Closed", "this session has finished")
        return situation

    async def over(self, caller: Caller) -> bool:
        """Whether the session must end. Reads only the loop and the iteration, because every heartbeat asks."""
        loop = await self.store.get(ResearchLoop, caller.loop)
        iteration = await self.store.get(ResearchIteration, caller.owner)
        return caller.session in iteration.status.reported.finished or self._ends(loop, iteration, caller)

    def _ends(self, loop: ResearchLoop, iteration: ResearchIteration, caller: Caller) -> bool:
        return self.closing or session_over(loop, iteration, caller.session)

    async def exploring(self, caller: Caller) -> Situation:
        """The situation, if the session may still propose something. Raises Refused (Closed, Forbidden)."""
        situation = await self.stating(caller)
        if situation.session.role == "Report":
            raise Refused("Forbidden", "the campaign is over and accepts no proposals: POST findings, then finish")
        return situation

    async def stating(self, caller: Caller) -> Situation:
        """The situation, if the session may state findings. Raises Refused (Closed, Forbidden)."""
        situation = await self.open(caller)
        if situation.session.role == "Check":
            raise Refused("Forbidden", "a checker cannot propose anything: POST findings/NAME/verdict, then finish")
        return situation

    async def proposing(self, caller: Caller, situation: Situation) -> Situation:
        """The situation, after recording that this session proposes something. Raises Refused(Busy).

        The record is written before the proposal is judged, because a session counts as having played even if its
        proposal is rejected (docs/adr/0013).
        """
        seen = situation

        async def attempt() -> Situation | None:
            nonlocal seen
            reported = seen.iteration.status.reported
            if caller.session in reported.proposed:
                return seen
            await self.report(seen.iteration, reported.changed(proposed=[*reported.proposed, caller.session]))
            seen = await self.situation(caller)
            return None

        return await until_written(attempt)

    async def report(self, iteration: ResearchIteration, reported: Reported) -> bool:
        """Write `status.reported`; returns False if another writer was first."""
        status = iteration.status.changed(reported=reported)
        try:
            await self.store.apply_status(iteration.changed(status=status))
        except Conflict:
            return False
        self.changed()
        return True

    async def changed_files(self, experiment: ResearchExperiment) -> dict[str, str]:
        """The experiment's text files that differ from the task."""
        if not experiment.spec.files:
            return {}
        return texts(await self.store.files(experiment.metadata.name))

    async def space(self, loop: str) -> Space | None:
        """The task's search space; None if it has none."""
        files = await self.store.files(names.task(loop))
        if SPACE_FILE not in files:
            return None
        return space_of(files[SPACE_FILE].content)
