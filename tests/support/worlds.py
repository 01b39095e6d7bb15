"""Random worlds for the simulated shell: what workloads do, what agents propose, and where the operator dies.

Used by tests/sim. Everything is drawn from one seeded generator in an order that the campaign itself decides, so a
failing example is repeated by its seed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from tests.support.spending import spend

from rloop.actions import Workload
from rloop.api.experiment import Usage
from rloop.api.researchloop import ResearchLoop
from rloop.api.session_context import Context
from rloop.api.wire import (
    DirectionRequest,
    ExperimentRequest,
    FindingRequest,
    FindingVerdict,
    FinishRequest,
)
from rloop.errors import Blocked, Conflict, Refused
from rloop.observed import ARTIFACT_LOST
from rloop.reasons import Reason
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File
from rloop_operator.sim.campaign import verdict
from rloop_operator.sim.runtime import Outcome, World
from rloop_operator.sim.store import MemoryStore

TASK = {"recipe.json": File(b'{"level": 0}\n')}
NOUNS = (
    "gradient",
    "replay",
    "curriculum",
    "entropy",
    "distillation",
    "symmetry",
    "tabular",
    "contrastive",
    "spectral",
    "bootstrap",
    "hierarchy",
    "adversary",
)
BROKEN_REPORTS = ("", '{"reason": "Timeout", "message": "late"}', "{", '{"verdict": {"metrics": {"other": 1.0}}}')
INVALID_REPORT = '{"verdict": {"metrics": {}, "checks": [{"name": "legal", "passed": false}]}}'
Answer = TypeVar("Answer")


class Died(Exception):
    """The operator dies here."""


@dataclass
class Deaths:
    """Lets the operator die before or after the effect of a call on a port."""

    random: Random
    chance: float = 0.0
    refusal: float = 0.0
    """How often the world refuses to make something: a quota, a name that is taken."""
    refused: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What the world does between two calls of the operator."""
    count: int = 0

    def around(self, port: object) -> Any:
        """The same port, on which any call may be the operator's last."""
        return _Mortal(port, self)

    async def call(self, do: Callable[..., Awaitable[Answer]], *args: Any) -> Answer:
        """One call, or half of it."""
        fate = self.random.random()
        if fate < self.chance / 2:
            self.count += 1
            raise Died
        answer = await do(*args)
        if fate < self.chance:
            self.count += 1
            raise Died
        if self.meanwhile is not None and self.random.random() < 0.02:
            await self.meanwhile()
        return answer


MADE = frozenset({"seal", "create", "append", "start"})
"""Calls that make something."""


class _Mortal:
    def __init__(self, port: object, deaths: Deaths) -> None:
        self._port = port
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        async def call(*args: Any) -> Any:
            if name in MADE and self._deaths.random.random() < self._deaths.refusal:
                self._deaths.refused += 1
                raise Blocked(Reason.QUOTA_EXCEEDED, name, "raise the quota")
            return await self._deaths.call(found, *args)

        return call


@dataclass(frozen=True)
class Chances:
    """How often something goes wrong, and how good proposals are."""

    crash: float = 0.1
    hang: float = 0.03
    lost: float = 0.05
    deadline: float = 0.03
    invalid: float = 0.05
    broken_verifier: float = 0.05
    artifact_lost: float = 0.0
    """A scoring that finds no artifact: the volume was lost."""
    agent_crash: float = 0.1
    outage: float = 0.0
    """A session whose provider of a language model does not respond."""
    lazy: float = 0.1
    """A session that proposes nothing."""
    gain: float = 0.3
    """A proposal that is better than what it started from."""
    step: float = 2.0
    """By so much."""
    noise: float = 1.0
    """Between runs; 0 is a deterministic task."""
    coarse: bool = False
    """Whole numbers only, so that many values are equal."""


def world(random: Random, chances: Chances, goal: str = "Minimize") -> Callable[[Gateway, MemoryStore], World]:
    """A world in which an experiment's true value is the level in its recipe."""

    def make(gateway: Gateway, store: MemoryStore) -> World:
        return RandomWorld(gateway, store, random, chances, -1.0 if goal == "Minimize" else 1.0)

    return make


class RandomWorld:
    """Says how a workload goes, and plays the agents."""

    def __init__(self, gateway: Gateway, store: MemoryStore, random: Random, chances: Chances, sign: float) -> None:
        self._gateway = gateway
        self._store = store
        self._random = random
        self._chances = chances
        self._sign = sign
        self._levels: dict[str, float] = {}
        self._noise: dict[tuple[str, int], float] = {}
        self._salt = 0

    def __call__(self, loop: ResearchLoop, workload: Workload) -> Outcome:
        """See sim.runtime.World."""
        if workload.role == "run":
            return self._run()
        if workload.role == "verification":
            return self._score(workload)
        crashes = self._random.random() < self._chances.agent_crash
        code, reason = (1, "Error") if crashes else (0, "Completed")
        act = self._session if loop.spec.agent.llm is None else self._llm_session
        return Outcome(self._random.uniform(1, 20), code, reason, act=act)

    async def _llm_session(self, caller: Caller) -> None:
        spent = {"calls": 1, "input_tokens": self._random.randint(0, 500), "output_tokens": 10, "cost": "0.01"}
        if self._random.random() < self._chances.outage:
            await spend(self._store, caller.owner, caller.session, waiting="ProviderDown", **spent)
            return
        await spend(self._store, caller.owner, caller.session, held_tokens=self._random.randint(0, 50), **spent)
        context = await self._gateway.context(caller)
        with suppress(Refused, Conflict):
            if context.session.role == "Check":
                await self._check(caller, context)
            elif context.session.role == "Report":
                await self._report(caller, context)
            else:
                await self._propose(caller)

    async def _check(self, caller: Caller, context: Context) -> None:
        for claim in context.claims:
            if self._random.random() < 0.8:
                verdict = FindingVerdict(supported=self._random.random() < 0.5, reason="so it is")
                await self._gateway.judge_finding(caller, claim.name, verdict)

    async def _report(self, caller: Caller, context: Context) -> None:
        for one in context.results:
            if one.value is not None and self._random.random() < 0.5:
                await self._gateway.propose_finding(caller, FindingRequest(statement="so", evidence=[one.name]))

    async def _session(self, caller: Caller) -> None:
        with suppress(Refused, Conflict):
            await self._propose(caller)

    async def _propose(self, caller: Caller) -> None:
        random, gateway = self._random, self._gateway
        if random.random() < self._chances.lazy:
            await gateway.finish(caller, FinishRequest(handoff="no idea"))
            return
        context = await gateway.context(caller)
        if context.demand or not context.directions or random.random() < 0.1:
            await gateway.propose_direction(caller, idea(random))
        recipe = context.incumbent.files.get("recipe.json", '{"level": 0}')
        sequence = context.session.next_sequence
        for _ in range(random.randint(0, 4)):
            better = random.random() < self._chances.gain
            level = json.loads(recipe)["level"] + self._sign * self._chances.step * better
            self._salt += 1
            files = {"recipe.json": json.dumps({"level": level, "salt": self._salt})}
            for smoke in (True, False) if random.random() < 0.2 else (False,):
                request = ExperimentRequest(sequence=sequence, title="a try", files=files, smoke=smoke)
                self._levels[(await gateway.propose_experiment(caller, request)).name] = level
                sequence += 1
        measured = [one.name for one in context.results if one.value is not None]
        if measured and random.random() < 0.3:
            await gateway.propose_finding(caller, FindingRequest(statement="so", evidence=[random.choice(measured)]))
        if random.random() < 0.7:
            await gateway.finish(caller, FinishRequest(handoff="go on"))

    def _run(self) -> Outcome:
        random, chances = self._random, self._chances
        seconds, fate = random.uniform(1, 10), random.random()
        usage = Usage(cpu_seconds=random.uniform(1, 10), wall_seconds=seconds)
        for share, outcome in (
            (chances.crash, Outcome(seconds, 1, "Error", usage=usage)),
            (chances.hang, Outcome(seconds, hangs=True, usage=usage)),
            (chances.lost, Outcome(seconds, None, "Lost", infrastructure=True, usage=usage)),
            (chances.deadline, Outcome(1e6, usage=usage)),
        ):
            if fate < share:
                return outcome
            fate -= share
        return Outcome(seconds, usage=usage, claims={"loss": 0.0} if random.random() < 0.5 else None)

    def _score(self, workload: Workload) -> Outcome:
        random, chances, fate = self._random, self._chances, self._random.random()
        if fate < chances.broken_verifier:
            lost = random.random() < 0.3
            return Outcome(1, 1, "Error", message=random.choice(BROKEN_REPORTS), infrastructure=lost)
        if fate >= 1 - chances.artifact_lost:
            return Outcome(1, None, ARTIFACT_LOST, infrastructure=True)
        if fate < chances.broken_verifier + chances.invalid and not workload.owner.endswith("-b01"):
            return Outcome(1, message=INVALID_REPORT)
        noise = self._noise.setdefault((workload.owner, workload.run), random.gauss(0, chances.noise))
        value = self._levels.get(workload.owner, 0.0) + noise
        return verdict("loss", float(round(value)) if chances.coarse else value)


def idea(random: Random) -> DirectionRequest:
    """A direction in words of its own."""
    words = random.sample(NOUNS, 6)
    fields = {"hypothesis": " ".join(words[:3]), "method": " ".join(words[3:])}
    return DirectionRequest.model_validate({"title": f"{words[0]} {random.randint(1, 10**9)}", "fields": fields})
