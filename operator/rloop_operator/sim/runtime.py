"""The simulated shell's runtime and clock: workloads take virtual time and end with the outcome that a World returns.

Only `sim.campaign` advances the clock, so days of a campaign take seconds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from rloop.actions import Workload
from rloop.api.experiment import Usage
from rloop.api.helpers import Curve
from rloop.api.researchloop import ResearchLoop
from rloop.observed import Exit, WorkloadState
from rloop_operator.ports import Caller

START = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """A clock that advances only when `seconds` is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """The virtual time."""
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """The virtual time in seconds since the start."""
        return self.seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a workload after `seconds` of virtual time."""

    seconds: float
    code: int | None = 0
    reason: str = "Completed"
    infrastructure: bool = False
    log_tail: str = ""
    message: str = ""
    claims: Mapping[str, float] | None = None
    curves: Sequence[Curve] = ()
    usage: Usage = field(default_factory=Usage)
    hangs: bool = False
    """Whether its step counter never advances, so that it ends only at its deadline or when it is stopped."""
    act: Callable[[Caller], Awaitable[None]] | None = None
    """For an agent: its calls to the gateway, all made at the end of its time."""


World = Callable[[ResearchLoop, Workload], Outcome]
"""Determines the outcome of a workload."""


@dataclass(slots=True)
class _Live:
    loop: str
    workload: Workload
    outcome: Outcome
    started: datetime
    ends_at: float
    exit: Exit | None = None


class SimRuntime:
    """A Runtime of simulated workloads."""

    def __init__(self, clock: VirtualClock, world: World) -> None:
        self._clock = clock
        self._world = world
        self._live: dict[str, _Live] = {}
        self._ever: set[str] = set()
        self.starts: list[str] = []
        """Names of all workloads that were started, in order, without repeated requests."""
        self.ends = 0
        """Number of workloads that have ended."""

    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        """See ports.Runtime."""
        if workload.name in self._ever:
            return
        self._ever.add(workload.name)
        self.starts.append(workload.name)
        outcome = self._world(loop, workload)
        if outcome.hangs or outcome.seconds > workload.deadline_seconds:
            outcome = replace(outcome, seconds=workload.deadline_seconds, code=None, reason="DeadlineExceeded")
        ends_at = self._clock.seconds + outcome.seconds
        self._live[workload.name] = _Live(loop.metadata.name, workload, outcome, self._clock.now(), ends_at)

    async def stop(self, name: str, reason: str) -> None:
        """See ports.Runtime."""
        live = self._live.get(name)
        if live is not None and live.exit is None:
            self.ends += 1
            live.exit = Exit(code=None, reason=reason, finished_at=self._clock.now(), usage=live.outcome.usage)

    async def remove(self, name: str) -> None:
        """See ports.Runtime."""
        live = self._live.get(name)
        if live is not None and live.exit is not None:
            del self._live[name]

    async def observe(self, loop: str) -> Mapping[str, WorkloadState]:
        """See ports.Runtime."""
        return {name: self._state(name, live) for name, live in self._live.items() if live.loop == loop}

    def lose(self, name: str) -> None:
        """End a workload with reason Lost, as after the failure of its node."""
        live = self._live[name]
        if live.exit is None:
            self.ends += 1
            live.exit = Exit(code=None, reason="Lost", finished_at=self._clock.now(), infrastructure=True)

    def live(self) -> list[str]:
        """Names of the running workloads."""
        return [name for name, live in self._live.items() if live.exit is None]

    def next_end(self) -> float | None:
        """Virtual seconds at which the next running workload ends; None if none is running."""
        return min((live.ends_at for live in self._live.values() if live.exit is None), default=None)

    async def end_due(self) -> None:
        """End the workloads that are due. Agents make their calls now."""
        for live in list(self._live.values()):
            if live.exit is not None or live.ends_at > self._clock.seconds:
                continue
            work, outcome = live.workload, live.outcome
            if outcome.act is not None:
                await outcome.act(Caller(work.name, work.role, live.loop, work.owner, work.session))
            self.ends += 1
            live.exit = Exit(
                code=outcome.code,
                reason=outcome.reason,
                finished_at=self._clock.now(),
                infrastructure=outcome.infrastructure,
                log_tail=outcome.log_tail,
                message=outcome.message,
                claims=outcome.claims or {},
                curves=outcome.curves,
                usage=outcome.usage,
            )

    def _state(self, name: str, live: _Live) -> WorkloadState:
        age = (self._clock.now() - live.started).total_seconds() if live.outcome.hangs else 0.0
        return WorkloadState(name, live.started, live.exit, step_age_seconds=age)
