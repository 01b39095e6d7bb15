"""Example 01's task inside the simulated shell: real training, real scoring, virtual time.

Called by `benchmarks.pivots` and by the metamorphic test. The trainer and the scorer are the example's own modules,
imported by path and run in this process with the seeds that the operator chose; the agents are images/agent's session
and policies, or one of the benchmark. Simulated are processes, their duration and the network between them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import yaml
from typing_extensions import override

from rloop.actions import Workload
from rloop.api.iteration import Direction, Finding
from rloop.api.researchloop import ResearchLoop
from rloop.api.session_context import Context
from rloop.api.wire import (
    DirectionRequest,
    ExperimentDetail,
    ExperimentRequest,
    ExperimentView,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
    HeartbeatReply,
    HeartbeatRequest,
    Reference,
    ReferenceText,
    TaskFiles,
    UsageReply,
    UsageReport,
)
from rloop.errors import Refused
from rloop_agent import session
from rloop_agent.gateway import Gateway as AgentGateway
from rloop_agent.gateway import refusal
from rloop_agent.policies.table import POLICIES
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign, verdict
from rloop_operator.sim.runtime import Outcome, World
from rloop_operator.user_files.manifest import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "01-kuhn-selfplay"
RECIPE, SPACE = "recipe.json", "space.yaml"
RUN_SECONDS = 0.5

Recipe = dict[str, Any]
Agent = Callable[["InMemory", int], None]
"""(gateway, seed): one session."""
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Task:
    """What the campaign sees of the example, and how a recipe of it reads to the trainer."""

    files: Mapping[str, str]
    translate: Callable[[Recipe], Recipe] = dict


@dataclass(frozen=True, slots=True)
class Result:
    """How one campaign went."""

    met: bool
    proposals: int
    runs: int
    pivots: int
    value: float


@cache
def modules() -> dict[str, ModuleType]:
    """The example's trainer and scorer, imported as their own programs import them; no compiled files are left."""
    places = [str(EXAMPLE / "task"), str(EXAMPLE / "evaluation")]
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path[:0] = places
    try:
        return {name: importlib.import_module(name) for name in ("learner", "recipe", "score", "kuhn")}
    finally:
        sys.dont_write_bytecode = before
        for place in places:
            sys.path.remove(place)


def example_task() -> Task:
    """The task as it lies there."""
    return Task({name: (EXAMPLE / "task" / name).read_text(encoding="utf-8") for name in (RECIPE, SPACE)})


def example_space() -> dict[str, Any]:
    """space.yaml, parsed."""
    document: dict[str, Any] = yaml.safe_load((EXAMPLE / "task" / SPACE).read_text(encoding="utf-8"))
    return document


def example_loop(seed: int, runs: int | None = None, **stall: int) -> ResearchLoop:
    """loop.yaml for one seed of the agent, which decides the seeds of the runs too; `runs` is another budget."""
    loop = load(EXAMPLE / "loop.yaml")
    budget = loop.spec.budget if runs is None else loop.spec.budget.model_copy(update={"runs": runs})
    changed = loop.spec.model_copy(update={"stall": loop.spec.stall.model_copy(update=stall), "budget": budget})
    metadata = loop.metadata.model_copy(update={"uid": f"{seed:032d}"})
    return loop.model_copy(update={"spec": changed, "metadata": metadata})


def campaign(loop: ResearchLoop, task: Task, agent: Agent, seed: int) -> Result:
    """One campaign from its baseline to its end."""

    def world(gateway: Gateway, store: Store) -> World:
        return _World(gateway, store, task, agent, seed)

    ran = Campaign(loop, {path: File(text.encode()) for path, text in task.files.items()}, world)
    status = asyncio.run(ran.run()).status
    complete = next(one for one in status.conditions if one.type == "Complete")
    assert status.best is not None, "a campaign that measured its baseline has a best"
    used = status.budget.used
    return Result(complete.reason == "TargetMet", used.experiments, used.runs, status.pivots, status.best.value)


def policy_agent(name: str = "random-search") -> Agent:
    """A policy of images/agent, session by session."""

    def act(gateway: InMemory, seed: int) -> None:
        # The clock stands still: what ends a simulated session is its allowance.
        session.run(gateway, POLICIES[name], seed, gateway.name, session.Surroundings(clock=lambda: 0.0))

    return act


class _World:
    """Trains when a run starts, scores when its verification starts."""

    def __init__(self, gateway: Gateway, store: Store, task: Task, agent: Agent, seed: int) -> None:
        self._gateway, self._store, self._task = gateway, store, task
        self._agent, self._seed = agent, seed
        self._policies: dict[tuple[str, int], list[float]] = {}

    def __call__(self, loop: ResearchLoop, work: Workload) -> Outcome:
        if work.role == "agent":
            return Outcome(RUN_SECONDS, act=self._session)
        if work.role == "run":
            self._policies[work.owner, work.run] = self._train(work)
            return Outcome(RUN_SECONDS)
        policy = self._policies[work.owner, work.run]
        names = modules()["kuhn"].INFORMATION_SETS
        return verdict("nashconv", modules()["score"].nashconv(dict(zip(names, policy, strict=True))), RUN_SECONDS)

    def _train(self, work: Workload) -> list[float]:
        text = self._task.files[RECIPE]
        if not work.owner.endswith("-b01"):
            files = at_once(self._store.files(work.owner))
            text = files[RECIPE].content.decode()
        recipe = modules()["recipe"].complete(self._task.translate(json.loads(text)))
        found: list[float] = modules()["learner"].train(recipe, str(work.seed))
        return found

    async def _session(self, caller: Caller) -> None:
        self._agent(InMemory(self._gateway, caller), self._seed)


class InMemory(AgentGateway):
    """The sim's gateway as an agent calls it. Its verbs never wait, so each is run to its end at once."""

    def __init__(self, gateway: Gateway, caller: Caller) -> None:
        self._gateway = gateway
        self._caller = caller
        self.name = caller.session

    @override
    def context(self) -> Context:
        return at_once(self._gateway.context(self._caller))

    @override
    def task(self) -> TaskFiles:
        return at_once(self._gateway.task(self._caller))

    @override
    def post_direction(self, request: DirectionRequest) -> Direction:
        return at_once(self._gateway.propose_direction(self._caller, request))

    @override
    def post_experiment(self, request: ExperimentRequest) -> ExperimentView:
        return at_once(self._gateway.propose_experiment(self._caller, request))

    @override
    def experiments(self) -> list[ExperimentView]:
        return at_once(self._gateway.experiments(self._caller))

    @override
    def experiment(self, name: str) -> ExperimentDetail:
        return at_once(self._gateway.experiment(self._caller, name))

    @override
    def references(self) -> list[Reference]:
        return at_once(self._gateway.references(self._caller))

    @override
    def reference(self, path: str) -> ReferenceText:
        return at_once(self._gateway.reference(self._caller, path))

    @override
    def post_finding(self, request: FindingRequest) -> Finding:
        return at_once(self._gateway.propose_finding(self._caller, request))

    @override
    def judge_finding(self, name: str, verdict: FindingVerdict) -> Finding:
        return at_once(self._gateway.judge_finding(self._caller, name, verdict))

    @override
    def heartbeat(self, request: HeartbeatRequest) -> HeartbeatReply:
        return at_once(self._gateway.heartbeat(self._caller, request.round))

    @override
    def report_usage(self, request: UsageReport) -> UsageReply:
        return at_once(self._gateway.report_usage(self._caller, request))

    @override
    def finish(self, request: FinishRequest) -> None:
        at_once(self._gateway.finish(self._caller, request))


def at_once(verb: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer of a coroutine that never waits; a refusal in the agent's words."""
    try:
        verb.send(None)
    except StopIteration as ended:
        answer: Answer = ended.value
        return answer
    except Refused as refused:
        raise refusal(refused.reason, refused.message) from refused
    raise RuntimeError("a verb of the simulated gateway waited")
