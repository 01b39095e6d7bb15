"""The agent's verbs, without HTTP: what a caller may see and do follows from which process it is.

Called by `gateway.app` (HTTP) and directly by the simulated shell. It writes experiments and `status.reported` of
iterations, and nothing else; what it lets in is decided by the pure `rloop.admit`.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable
from datetime import datetime

import structlog

from rloop import context as contexts
from rloop import names
from rloop.admit import direction as direction_gate
from rloop.admit import experiment as experiment_gate
from rloop.admit import finding as finding_gate
from rloop.api.experiment import ResearchExperiment
from rloop.api.globs import matches
from rloop.api.helpers import ProgressRequest
from rloop.api.iteration import Direction, Finding, Handoff, Reported, ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.api.space import Space
from rloop.api.wire import (
    Context,
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FinishRequest,
    HeartbeatReply,
    TaskFiles,
)
from rloop.decide.baseline import children_metadata
from rloop.errors import Conflict, NotFound, Refused
from rloop.standing import Situation, finished
from rloop_operator.gateway.texts import space_of, texts
from rloop_operator.ports import Caller, File, Signs, Store

log = structlog.get_logger("rloop.gateway")
WRITE_TRIES = 20
DIRECTIONS_MAX = 32
"""Of one iteration, as many as `Reported` holds; FINDINGS_MAX likewise."""
FINDINGS_MAX = 64
SPACE_FILE = "space.yaml"


class Gateway:
    """The verbs. `now` gives the time, `changed` wakes the operator."""

    def __init__(self, store: Store, beats: Signs, *, now: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self._store = store
        self._beats = beats
        self._now = now
        self._changed = changed
        self._admitting = asyncio.Lock()
        self.closing = False
        """Set while the operator ends in order: sessions are told to finish."""

    async def context(self, caller: Caller) -> Context:
        """GET context: all that a fresh session needs."""
        situation = await self._situation(caller)
        incumbent = situation.incumbent
        return contexts.build(
            situation,
            space=await self._space(caller.loop),
            incumbent_files=await self._changed_files(incumbent) if incumbent else {},
        )

    async def task(self, caller: Caller) -> TaskFiles:
        """GET task: the sealed task's files."""
        situation = await self._situation(caller)
        files = await self._store.files(f"{caller.loop}-task")
        text = texts(files)
        editable = situation.loop.spec.boundaries.editable
        return TaskFiles(
            files=text,
            binary=sorted(path for path in files if path not in text),
            editable=sorted(path for path in files if matches(path, editable)),
        )

    async def propose_direction(self, caller: Caller, request: DirectionRequest) -> Direction:
        """POST directions: the recorded direction. Raises Refused."""
        space = await self._space(caller.loop)
        for _ in range(WRITE_TRIES):
            situation = await self._open(caller)
            tried = situation.directions
            admitted = direction_gate.admit(request, space=space, tried=tried, pivot_demanded=situation.pivot_demanded)
            if admitted is not None:
                return admitted
            reported = situation.iteration.status.reported
            if len(reported.directions) >= DIRECTIONS_MAX:
                raise Refused("LimitReached", f"this iteration has {DIRECTIONS_MAX} directions: work in one of them")
            own = [one for one in reported.directions if one.session == caller.session]
            new = Direction(
                name=names.direction(caller.session, len(own) + 1),
                title=request.title,
                fields=request.fields,
                frame=request.frame,
                pivot=situation.loop.status.pivots,
                session=caller.session,
                at=self._now(),
            )
            changed = reported.model_copy(update={"directions": [*reported.directions, new]})
            if await self._report(situation.iteration, changed):
                log.info(
                    "direction_admitted",
                    loop=caller.loop,
                    direction=new.name,
                    frame=new.frame,
                    pivot=new.pivot,
                )
                return new
        raise Refused("Busy", "too many writers at once: try again")

    async def propose_experiment(self, caller: Caller, request: ExperimentRequest) -> ExperimentView:
        """POST experiments; the same sequence with the same files is the same experiment. Raises Refused."""
        async with self._admitting:  # or two sessions at once pass a limit that has room for one
            return await self._admit(caller, request)

    async def _admit(self, caller: Caller, request: ExperimentRequest) -> ExperimentView:
        situation = await self._open(caller)
        parent = self._parent(situation, request.parent)
        facts = experiment_gate.Facts(
            loop=situation.loop,
            iteration=situation.iteration,
            session=situation.session,
            directions=situation.directions,
            pivot_demanded=situation.pivot_demanded,
            experiments=situation.experiments,
            incumbent=situation.incumbent.metadata.name if situation.incumbent else names.baseline(caller.loop),
            task=texts(await self._store.files(f"{caller.loop}-task")),
            parent=await self._changed_files(parent) if parent else {},
            parent_name=parent.metadata.name if parent else None,
            space=await self._space(caller.loop),
        )
        admitted = experiment_gate.admit(request, facts)
        unit = contexts.noise_unit(situation.incumbent)
        if admitted.name in situation.experiments:
            return contexts.view(situation.experiments[admitted.name], unit)
        files = {path: File(text.encode()) for path, text in admitted.files.items()}
        try:
            await self._store.put_files(caller.loop, admitted.name, files)
        except Conflict as conflict:  # we died between the files and the experiment of an earlier request
            told = f"other files stand under {admitted.name}: use the next sequence number"
            raise Refused("SequenceTaken", told) from conflict
        metadata = children_metadata(situation.loop, admitted.name)
        created = await self._store.create(ResearchExperiment(metadata=metadata, spec=admitted.spec))
        log.info("experiment_admitted", loop=caller.loop, experiment=admitted.name, frame=admitted.spec.frame)
        self._changed()
        return contexts.view(created, unit)

    async def experiments(self, caller: Caller) -> list[ExperimentView]:
        """GET experiments: all candidates, oldest first."""
        situation = await self._situation(caller)
        unit = contexts.noise_unit(situation.incumbent)
        return [contexts.view(one, unit) for one in situation.experiments.values()]

    async def experiment(self, caller: Caller, name: str) -> ExperimentDetail:
        """GET experiments/{name}: discards too. Raises NotFound."""
        situation = await self._situation(caller)
        if name not in situation.experiments:
            message = f'there is no experiment "{name}" in this campaign'
            raise NotFound(message)
        found = situation.experiments[name]
        files = await self._changed_files(found)
        task = texts(await self._store.files(f"{caller.loop}-task"))
        difference = "".join(
            line
            for path, text in files.items()
            for line in difflib.unified_diff(
                task.get(path, "").splitlines(keepends=True),
                text.splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )
        return contexts.detail(found, contexts.noise_unit(situation.incumbent), files, difference)

    async def propose_finding(self, caller: Caller, request: FindingRequest) -> Finding:
        """POST findings. Raises Refused unless the evidence is measured."""
        for _ in range(WRITE_TRIES):
            situation = await self._open(caller)
            finding_gate.admit(request, situation.experiments)
            reported = situation.iteration.status.reported
            if len(reported.findings) >= FINDINGS_MAX:
                raise Refused("LimitReached", f"this iteration has its {FINDINGS_MAX} findings")
            own = [one for one in reported.findings if one.session == caller.session]
            new = Finding(
                name=names.finding(caller.session, len(own) + 1),
                statement=request.statement,
                evidence=request.evidence,
                session=caller.session,
                at=self._now(),
            )
            if await self._report(
                situation.iteration, reported.model_copy(update={"findings": [*reported.findings, new]})
            ):
                return new
        raise Refused("Busy", "too many writers at once: try again")

    async def heartbeat(self, caller: Caller, round_: int) -> HeartbeatReply:
        """POST heartbeat: alive, and in which round."""
        return HeartbeatReply(nudge=await self._beats.record(caller, round_))

    async def progress(self, caller: Caller, request: ProgressRequest) -> None:
        """POST progress: what a run's relay saw. Raises Refused for any other caller."""
        if caller.role != "run":
            raise Refused("Forbidden", "only a run's relay reports progress")
        await self._beats.progress(caller, request)

    async def finish(self, caller: Caller, request: FinishRequest) -> None:
        """POST finish: the session is done. Idempotent."""
        for _ in range(WRITE_TRIES):
            situation = await self._situation(caller)
            reported = situation.iteration.status.reported
            if caller.session in reported.finished:
                return
            handoff = [Handoff(session=caller.session, text=request.handoff)] if request.handoff else []
            changed = reported.model_copy(
                update={
                    "finished": [*reported.finished, caller.session],
                    "handoffs": [*reported.handoffs, *handoff],
                }
            )
            if await self._report(situation.iteration, changed):
                return
        raise Refused("Busy", "too many writers at once: try again")

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _situation(self, caller: Caller) -> Situation:
        if caller.role != "agent":
            raise Refused("Forbidden", f"a {caller.role} has no agent's rights")
        iteration = await self._store.get(ResearchIteration, caller.owner)
        session = next(one for one in iteration.spec.sessions if one.name == caller.session)
        return Situation(
            loop=await self._store.get(ResearchLoop, caller.loop),
            iteration=iteration,
            session=session,
            iterations={one.metadata.name: one for one in await self._store.list(ResearchIteration, caller.loop)},
            experiments={one.metadata.name: one for one in await self._store.list(ResearchExperiment, caller.loop)},
        )

    async def _open(self, caller: Caller) -> Situation:
        """The situation, if the session may still propose something. Raises Refused(Closed)."""
        situation = await self._situation(caller)
        status = next(one for one in situation.iteration.status.sessions if one.name == caller.session)
        done = finished(situation.loop)
        if done or self.closing or situation.loop.spec.suspend or status.phase in ("Finished", "Failed"):
            raise Refused("Closed", "this session is over: POST finish and end")
        if caller.session in situation.iteration.status.reported.finished:
            raise Refused("Closed", "this session has finished")
        return situation

    async def _report(self, iteration: ResearchIteration, reported: Reported) -> bool:
        """Write `status.reported`; False if somebody wrote first."""
        status = iteration.status.model_copy(update={"reported": reported})
        try:
            await self._store.apply_status(iteration.model_copy(update={"status": status}))
        except Conflict:
            return False
        self._changed()
        return True

    def _parent(self, situation: Situation, wanted: str) -> ResearchExperiment | None:
        if wanted == "task":
            return None
        if wanted == "incumbent":
            return situation.incumbent
        if wanted not in situation.experiments:
            raise Refused("ParentUnknown", f'parent "{wanted}": give incumbent, task or the name of an experiment')
        return situation.experiments[wanted]

    async def _changed_files(self, experiment: ResearchExperiment) -> dict[str, str]:
        if not experiment.spec.files:
            return {}
        return texts(await self._store.files(experiment.metadata.name))

    async def _space(self, loop: str) -> Space | None:
        files = await self._store.files(f"{loop}-task")
        if SPACE_FILE not in files:
            return None
        return space_of(files[SPACE_FILE].content)
