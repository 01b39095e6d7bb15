"""The gateway's verbs, without HTTP: the caller's workload determines what it may see and do.

Called by `gateway.protocols.app` (HTTP) and directly by the simulated shell. It writes only experiments and
`status.reported` of iterations; the pure `rloop.admit` decides what is admitted.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from rloop import names
from rloop.admit import direction as direction_gate
from rloop.admit import handoff as handoff_gate
from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import Direction, Finding, Handoff
from rloop.api.session_context import Context
from rloop.api.wire import (
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishReply,
    FinishRequest,
    HeartbeatReply,
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)
from rloop.errors import Conflict, Refused, RloopError
from rloop_operator.gateway.verbs import claims, read, usage
from rloop_operator.gateway.verbs.caller_view import CallerView, until_written
from rloop_operator.gateway.verbs.propose import Proposals
from rloop_operator.ports import Caller, File, Signs, Store

log = structlog.get_logger("rloop.gateway")
IGNORED = "this session had already finished: its first handoff is kept, and this one was ignored"
DIRECTIONS_MAX = 32
"""Maximum number of directions per iteration, as many as `Reported` can hold."""


class Gateway(CallerView):
    """The verbs, one method each."""

    def __init__(self, store: Store, beats: Signs, *, now: Callable[[], datetime], changed: Callable[[], None]) -> None:
        super().__init__(store, now=now, changed=changed)
        self._beats = beats
        self._proposals = Proposals(self)

    async def context(self, caller: Caller) -> Context:
        """GET context: everything that a new session needs."""
        return await read.context(self, caller)

    async def task(self, caller: Caller) -> TaskFiles:
        """GET task: the sealed task's files."""
        return await read.task(self, caller)

    async def experiments(self, caller: Caller) -> list[ExperimentView]:
        """GET experiments: everything that was tried, oldest first."""
        return await read.experiments(self, caller)

    async def experiment(self, caller: Caller, name: str) -> ExperimentDetail:
        """GET experiments/{name}: one experiment, including discarded ones. Raises NotFound."""
        return await read.experiment(self, caller, name)

    async def references(self, caller: Caller) -> list[Reference]:
        """GET references: papers and documents."""
        return await read.references(self, caller)

    async def reference(self, caller: Caller, path: str) -> ReferenceText:
        """GET references/{path}. Raises NotFound, Refused."""
        return await read.reference(self, caller, path)

    async def propose_direction(self, caller: Caller, request: DirectionRequest) -> Direction:
        """POST directions: the recorded direction. Raises Refused."""
        space = await self.space(caller.loop)

        async def attempt() -> Direction | None:
            situation = await self.proposing(caller, await self.exploring(caller))
            tried = situation.directions
            admitted = direction_gate.admit(request, space=space, tried=tried, pivot_demanded=situation.pivot_demanded)
            if admitted is not None:
                return admitted
            reported = situation.iteration.status.reported
            if len(reported.directions) >= DIRECTIONS_MAX:
                raise Refused(
                    "LimitReached", f"this iteration has the maximum of {DIRECTIONS_MAX} directions: use one of them"
                )
            own = [one for one in reported.directions if one.session == caller.session]
            new = Direction(
                name=names.direction(caller.session, len(own) + 1),
                title=request.title,
                fields=request.fields,
                frame=request.frame,
                pivot=situation.loop.status.pivots,
                session=caller.session,
                at=self.now(),
            )
            changed = reported.changed(directions=[*reported.directions, new])
            if await self.report(situation.iteration, changed):
                log.info(
                    "direction_admitted",
                    loop=caller.loop,
                    direction=new.name,
                    frame=new.frame,
                    pivot=new.pivot,
                )
                return new
            return None

        return await until_written(attempt)

    async def propose_experiment(self, caller: Caller, request: ExperimentRequest) -> ExperimentView:
        """POST experiments. Idempotent: same sequence and same files are the same experiment. Raises Refused."""
        return await self._proposals.propose(caller, request)

    async def propose_finding(self, caller: Caller, request: FindingRequest) -> Finding:
        """POST findings. Raises Refused unless the evidence is measured."""
        return await claims.propose(self, caller, request)

    async def judge_finding(self, caller: Caller, name: str, verdict: FindingVerdict) -> Finding:
        """POST findings/{name}/verdict, by a checker. Raises Refused."""
        return await claims.judge(self, caller, name, verdict)

    async def called(self, caller: Caller) -> None:
        """Record that a verb was called: its session is alive, with or without a heartbeat."""
        if caller.role != "agent":
            return
        try:
            await self._beats.called(caller)
        except RloopError as error:  # the verb itself may still succeed
            log.info("sign_of_life_not_written", session=caller.session, detail=str(error))

    async def heartbeat(self, caller: Caller, round_: int) -> HeartbeatReply:
        """POST heartbeat: the session is alive, and in this round."""
        nudge = await self._beats.record(caller, round_)
        return HeartbeatReply(nudge=nudge, closing=await self.over(caller))

    async def report_usage(self, caller: Caller, request: UsageReport) -> UsageReply:
        """POST usage: tokens of a model that the LLM proxy does not serve. Raises Refused."""
        return await usage.report(self, caller, request)

    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        """POST progress: what a run's relay observed. Raises Refused for any other caller."""
        if caller.role != "run":
            raise Refused("Forbidden", "only the sidecar of a run may report progress")
        await self._beats.progress(caller, request)

    async def finish(self, caller: Caller, request: FinishRequest) -> FinishReply:
        """POST finish: the session is done. Idempotent: the first handoff counts, a different later one gets a note."""

        async def attempt() -> FinishReply | None:
            situation = await self.situation(caller)
            reported = situation.iteration.status.reported
            left = Handoff(session=caller.session, text=request.handoff, drafts=len(request.drafts))
            handoff = [left] if request.handoff or request.drafts else []
            if caller.session in reported.finished:
                same = not handoff or left in reported.handoffs
                return FinishReply(note="" if same else IGNORED)
            await self._keep_drafts(caller, request)
            changed = reported.changed(
                finished=[*reported.finished, caller.session], handoffs=[*reported.handoffs, *handoff]
            )
            if await self.report(situation.iteration, changed):
                return FinishReply()
            return None

        return await until_written(attempt)

    # -- internal --------------------------------------------------------------------------------------------------

    async def _keep_drafts(self, caller: Caller, request: FinishRequest) -> None:
        handoff_gate.admit(request)
        if not request.drafts:
            return
        files = {path: File(text.encode()) for path, text in request.drafts.items()}
        try:
            await self.store.put_files(caller.loop, names.drafts(caller.session), files)
        except Conflict:  # an earlier finish was interrupted between drafts and status; its drafts are kept
            log.info("drafts_stand", loop=caller.loop, session=caller.session)
