"""The reconcile pass of all shells: gather the facts, decide, act, write status, then report events.

Called for one loop at a time, after every change and when the last decision asked for it (`Pass.look_again`). It keeps
no state between calls. After a conflict or a crash anywhere in it, it is simply called again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

import structlog

from rloop.actions import Action, Append, Create, Event, Nudge, Remove, Start, Stop
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.api.loop_status import SealedTask
from rloop.api.researchloop import ResearchLoop
from rloop.decide.chain import decide, hindered
from rloop.decide.draft import Decision
from rloop.errors import BadInput, Blocked, Conflict, InputProblem, NotFound, RloopError, Unstartable
from rloop.names import SeedKeys
from rloop.observed import FILES_LOST, Exit, Observed, Obstacle, Watchdog, WorkloadState
from rloop_operator.ports import Runtime, Signs, Store

log = structlog.get_logger("rloop.reconcile")


@dataclass(frozen=True, slots=True)
class Shell:
    """Everything that a reconcile uses: the ports, the clock and the secrets of the shell."""

    store: Store
    runtime: Runtime
    beats: Signs
    now: Callable[[], datetime]
    seed_keys: SeedKeys
    tell: Callable[[str, Event], Awaitable[None]]
    """Reports an event of the loop of this name. Called after the status that the event belongs to was written."""
    unsupported: Callable[[ResearchLoop], list[InputProblem]] = lambda _: []
    """Parts of the spec that this shell does not support. Called in every pass, because a spec may be edited."""
    watchdog: Callable[[], Watchdog] = Watchdog


@dataclass(frozen=True, slots=True)
class Pass:
    """Result of one reconcile."""

    observed: Observed
    changed: bool
    """Whether something was written or done, so that another pass may find more to do. Stops and removals do not count:
    an event announces their end.
    """
    conflict: bool = False
    """Whether another writer was first, so that the decision was not carried out completely."""
    decision: Decision | None = None
    """The decision, with the actions that were carried out; None after a conflict."""

    @property
    def look_again(self) -> float | None:
        """Seconds until the next pass is needed even if no event arrives; None if only an event can change anything."""
        return 0.0 if self.changed or self.decision is None else self.decision.look_again


async def reconcile(shell: Shell, loop: str, *, down_since: datetime | None = None, draining: bool = False) -> Pass:
    """Advance the loop by one step. Raises NotFound if the loop is deleted or being deleted."""
    stored = await shell.store.get(ResearchLoop, loop)
    if stored.metadata.deletion_timestamp is not None:
        raise NotFound(f"{loop} is being deleted")
    try:
        observed = await _gather(shell, stored, down_since, draining=draining)
        return await _pass(shell, observed)
    except NotFound as error:
        # Not the loop itself: an object that belongs to it was deleted during this pass.
        raise RloopError(str(error)) from error


async def _pass(shell: Shell, observed: Observed) -> Pass:
    decision = decide(observed)
    try:
        return await _do(shell, observed, decision)
    except Conflict as conflict:
        log.info("conflict", loop=observed.loop.metadata.name, detail=str(conflict))
        return Pass(observed, changed=True, conflict=True)


async def _do(shell: Shell, observed: Observed, decision: Decision) -> Pass:
    done, refused, lost = await _carry_out(shell, observed, decision)
    if lost:
        # These workloads failed without having run. Every action may be carried out twice, so decide everything again.
        observed = replace(observed, workloads={**observed.workloads, **lost})
        return await _do(shell, observed, decide(observed))
    # A blocked Start or Create is decided again in each pass, and nothing else depends on it. A blocked Append would be
    # lost if the status that marks it as done were written: in that case nothing of this decision is valid.
    holds = all(isinstance(action, Start | Create) for action, _ in refused)
    if refused:
        observed = replace(observed, obstacles=(*observed.obstacles, *(_obstacle(error) for _, error in refused)))
        decision = _without(decide(observed), refused) if holds else hindered(observed)
    await _write(shell, observed, decision)
    for event in decision.events:
        await shell.tell(observed.loop.metadata.name, event)
    # The actions of an invalid decision are done again later, so they require no immediate pass. Neither do stops and
    # removals, which may take long: a foreign finalizer can block a removal indefinitely.
    acted = holds and any(not isinstance(action, Stop | Remove) for action in done)
    changed = bool(acted or decision.experiments or decision.iterations or decision.status)
    return Pass(observed, changed, decision=replace(decision, actions=tuple(done)))


async def _carry_out(
    shell: Shell, observed: Observed, decision: Decision
) -> tuple[list[Action], list[tuple[Action, Blocked]], dict[str, WorkloadState]]:
    """Carry out the actions. Returns those done, those blocked and why, and the workloads that can never start."""
    done: list[Action] = []
    refused: list[tuple[Action, Blocked]] = []
    lost: dict[str, WorkloadState] = {}
    for action in decision.actions:
        try:
            await _act(shell, observed, action)
        except Blocked as error:
            log.warning("blocked", about=error.about, reason=error.reason, detail=error.message)
            refused.append((action, error))
        except Unstartable as error:
            assert isinstance(action, Start)  # nothing else raises it
            name, now = action.workload.name, observed.now
            exit_ = Exit(code=None, reason=FILES_LOST, finished_at=now, log_tail=str(error))
            lost[name] = WorkloadState(name, started_at=now, exit=exit_)
        else:
            done.append(action)
    return done, refused, lost


def _without(decision: Decision, refused: list[tuple[Action, Blocked]]) -> Decision:
    """The decision without the events about objects that were not created."""
    missing = {action.object.metadata.name for action, _ in refused if isinstance(action, Create)}
    return replace(decision, events=tuple(one for one in decision.events if one.object not in missing))


def _obstacle(error: Blocked) -> Obstacle:
    return Obstacle(error.reason, error.about, error.message)


async def _gather(shell: Shell, loop: ResearchLoop, down_since: datetime | None, *, draining: bool) -> Observed:
    name = loop.metadata.name
    sealed, problems, obstacles = await _sealed(shell, loop)
    iterations = {one.metadata.name: one for one in await shell.store.list(ResearchIteration, name)}
    running = _running(iterations.values())
    await shell.beats.expect(name, running)
    # Workloads last, so that the observed workloads are never older than the statuses that refer to them.
    experiments = {one.metadata.name: one for one in await shell.store.list(ResearchExperiment, name)}
    return Observed(
        now=shell.now(),
        loop=loop,
        seed_keys=shell.seed_keys,
        iterations=iterations,
        experiments=experiments,
        workloads=await shell.runtime.observe(name),
        beats={session: beat for session, beat in (await shell.beats.read()).items() if session in running},
        sealed=sealed,
        problems=problems,
        obstacles=obstacles,
        down_since=down_since,
        draining=draining,
        watchdog=shell.watchdog(),
    )


def _running(iterations: Iterable[ResearchIteration]) -> dict[str, int]:
    """The running sessions, with the signs of life that the LLM proxy counted."""
    found: dict[str, int] = {}
    for iteration in iterations:
        signs = {one.session: one.signs for one in iteration.status.reported.usage}
        found |= {one.name: signs.get(one.name, 0) for one in iteration.status.sessions if one.phase == "Running"}
    return found


Sealed = tuple[SealedTask | None, tuple[InputProblem, ...], tuple[Obstacle, ...]]


async def _sealed(shell: Shell, loop: ResearchLoop) -> Sealed:
    """The frozen task, or the problems and obstacles that prevent freezing it."""
    problems = tuple(shell.unsupported(loop))
    if loop.status.sealed is not None or problems:
        return loop.status.sealed, problems, ()
    try:
        return await shell.store.seal(loop), (), ()
    except BadInput as error:
        return None, error.problems, ()
    except Blocked as error:
        return None, (), (_obstacle(error),)


async def _act(shell: Shell, observed: Observed, action: Action) -> None:
    match action:
        case Create(obj):
            await _create(shell.store, obj)
        case Start(workload):
            log.info("start", workload=workload.name, role=workload.role)
            await shell.runtime.start(observed.loop, workload)
        case Stop(name, reason):
            log.info("stop", workload=name, reason=reason)
            await shell.runtime.stop(name, reason)
        case Remove(name):
            await shell.runtime.remove(name)
        case Append():
            name = observed.loop.metadata.name
            if missing := await shell.store.append(name, action):
                await shell.tell(name, Event("Warning", "LedgerIncomplete", missing, name))
        case Nudge(session, message):
            await shell.beats.nudge(session, message)
        case never:
            assert_never(never)


async def _create(store: Store, obj: ResearchIteration | ResearchExperiment) -> None:
    """Create the object. It may exist from an earlier try, because names are deterministic."""
    try:
        if isinstance(obj, ResearchIteration):
            await store.create(obj)
        else:
            await store.create(obj)
    except Conflict:
        log.info("exists", name=obj.metadata.name)


async def _write(shell: Shell, observed: Observed, decision: Decision) -> None:
    """Write children first and the loop last, so that the loop's status reports only what has happened.

    Iterations before experiments: the gateway writes iterations as well, and a conflict must occur before anything is
    written, because otherwise the events of this decision are lost.
    """
    for iteration in decision.iterations:
        await shell.store.apply_status(iteration)
    for experiment in decision.experiments:
        await shell.store.apply_status(experiment)
    if decision.status is not None:
        await shell.store.apply_status(observed.loop.changed(status=decision.status))
