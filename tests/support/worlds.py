"""Random worlds for the simulated shell: what workloads do, what agents propose, and where the operator dies.

Used by tests/sim. Everything is drawn from one seeded generator in an order that the campaign itself decides, so a
failing example is repeated by its seed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from rloop.actions import Workload
from rloop.api.experiment import Usage
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest, FindingRequest, FinishRequest
from rloop.errors import Conflict, Refused
from rloop_operator.gateway.service import Gateway
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
Answer = TypeVar("Answer")


class Died(Exception):
    """The operator dies here."""


@dataclass
class Deaths:
    """Lets the operator die before or after the effect of a call on a port."""

    random: Random
    chance: float = 0.0
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


class _Mortal:
    def __init__(self, port: object, deaths: Deaths) -> None:
        self._port = port
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        async def call(*args: Any) -> Any:
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
    agent_crash: float = 0.1
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
    sign = -1.0 if goal == "Minimize" else 1.0

    def make(gateway: Gateway, store: MemoryStore) -> World:
        levels: dict[str, float] = {}
        noises: dict[tuple[str, int], float] = {}
        counts: Counter[str] = Counter()

        async def propose(caller: Caller) -> None:
            if random.random() < chances.lazy:
                return
            try:
                context = await gateway.context(caller)
                if context.demand or not context.directions or random.random() < 0.1:
                    await gateway.propose_direction(caller, idea(random))
                for extra in range(random.randint(0, 4)):
                    base = json.loads(context.incumbent.files.get("recipe.json", TASK["recipe.json"].content))["level"]
                    level = base + sign * chances.step * (random.random() < chances.gain)
                    counts["all"] += 1
                    recipe = json.dumps({"level": level, "salt": counts["all"]})
                    sequence = context.session.next_sequence + extra
                    view = await gateway.propose_experiment(
                        caller, ExperimentRequest(sequence=sequence, title="a try", files={"recipe.json": recipe})
                    )
                    levels[view.name] = level
                if random.random() < 0.2:
                    evidence = [one.name for one in context.results[:1]]
                    if evidence:
                        await gateway.propose_finding(caller, FindingRequest(statement="so", evidence=evidence))
                if random.random() < 0.7:
                    await gateway.finish(caller, FinishRequest(handoff="go on"))
            except (Refused, Conflict):
                return

        def run(workload: Workload) -> Outcome:
            usage = Usage(cpu_seconds=random.uniform(1, 10), wall_seconds=5)
            seconds = random.uniform(1, 10)
            fate = random.random()
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

        def score(workload: Workload) -> Outcome:
            fate = random.random()
            if fate < chances.broken_verifier:
                broken = [
                    "",
                    '{"reason": "Timeout", "message": "late"}',
                    "{",
                    '{"verdict": {"metrics": {"other": 1.0}}}',
                ]
                return Outcome(1, 1, "Error", message=random.choice(broken), infrastructure=random.random() < 0.3)
            if fate < chances.broken_verifier + chances.invalid and not workload.owner.endswith("-b01"):
                checks = '{"verdict": {"metrics": {}, "checks": [{"name": "legal", "passed": false}]}}'
                return Outcome(1, message=checks)
            key = (workload.owner, workload.run)
            noise = noises.setdefault(key, random.gauss(0, chances.noise))
            value = levels.get(workload.owner, 0.0) + noise
            return verdict("loss", float(round(value)) if chances.coarse else value)

        def outcome(loop: ResearchLoop, workload: Workload) -> Outcome:
            if workload.role == "run":
                return run(workload)
            if workload.role == "verification":
                return score(workload)
            code, reason = (1, "Error") if random.random() < chances.agent_crash else (0, "Completed")
            return Outcome(random.uniform(1, 20), code, reason, act=propose)

        return outcome

    return make


def idea(random: Random) -> DirectionRequest:
    """A direction in words of its own."""
    words = random.sample(NOUNS, 6)
    fields = {"hypothesis": " ".join(words[:3]), "method": " ".join(words[3:])}
    return DirectionRequest.model_validate({"title": f"{words[0]} {random.randint(1, 10**9)}", "fields": fields})
