"""One campaign of proposals whose true effects are known, driven through the whole shipped shell.

Called by `benchmarks.aa`. Everything from the gateway to the ledger is the product's (reconcile, decide, admit, store
rules), in virtual time; simulated are the agent, which proposes blindly, and what a scoring finds: the proposal's true
value plus noise of SD 1. The decisions know neither the SD nor the family of the noise: they estimate it from the runs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.acceptance_model import NOISE, Scenario, Tally, stream
from rloop import names
from rloop.actions import Workload
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.api.wire import DirectionRequest, ExperimentRequest, FinishRequest
from rloop.campaign_state import kept_number
from rloop_operator.gateway.verbs.service import Gateway
from rloop_operator.ports import Caller, File, Store
from rloop_operator.sim.campaign import Campaign, verdict
from rloop_operator.sim.runtime import Outcome, World

METRIC = "score"
PER_SESSION = 5
WILD = 300.0
"""SDs by which a wild run misses its experiment's true value."""
WILD_SHARE = 0.1
COLLAPSE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Setting:
    """What a campaign is asked to do."""

    scenario: Scenario
    family: str
    acceptance: str = "Standard"
    false_keep_rate: str = "0.01"
    fault: Literal["wild runs", "unstable incumbent"] | None = None
    """Wild runs: one of the baseline's is 300 SD too good, and a tenth of the confirming runs of no-ops 300 SD too bad.
    Unstable incumbent: three tenths of the baseline's runs collapse, so that its values have two modes."""
    parallelism: int = 1
    """1 where the incumbent moves: a proposal's effect is then exactly its distance from the incumbent of its time."""


@dataclass(slots=True)
class _Truth:
    """What the simulation knows and the decisions do not."""

    setting: Setting
    noise: Iterator[float]
    chance: np.random.Generator
    gains: Iterator[bool]
    level: dict[str, float] = field(default_factory=dict)
    is_gain: dict[str, bool] = field(default_factory=dict)
    references: Counter[str] = field(default_factory=Counter)
    """Reference runs that each challenger's judgement caused; exact while runs go one at a time."""
    waiting: int = 0
    campaign: Campaign | None = None

    def incumbent(self, baseline: str) -> str:
        """The experiment that was kept last."""
        assert self.campaign is not None
        events = reversed(self.campaign.events)
        return next((one.object for one in events if one.reason == "BestUpdated"), baseline)

    def begin(self, work: Workload, baseline: str) -> None:
        """A run starts: fix its experiment's true value, and note whose judgement a reference run belongs to."""
        if work.owner not in self.level:
            before = 0.0 if work.owner == baseline else self.level[self.incumbent(baseline)]
            self.level[work.owner] = before + (self.setting.scenario.gain if self.is_gain.get(work.owner) else 0.0)
        if work.kind == "reference":
            self.waiting += 1
        elif work.kind == "confirm":
            self.references[work.owner] += self.waiting
            self.waiting = 0

    def measured(self, work: Workload, baseline: str) -> float:
        """What a scoring of this run finds."""
        value = self.level[work.owner] + next(self.noise)
        of_baseline = work.owner == baseline
        if self.setting.fault == "wild runs":
            if of_baseline and work.kind == "baseline" and work.run == 3:
                return value + WILD
            no_op = not of_baseline and not self.is_gain[work.owner]
            if no_op and work.kind == "confirm" and self.chance.random() < WILD_SHARE:
                return value - WILD
        if self.setting.fault == "unstable incumbent" and of_baseline and self.chance.random() < COLLAPSE_SHARE:
            return value - WILD
        return value


def campaign(setting: Setting, seed: int) -> Tally:
    """Run one campaign, reproducible by seed, and count what it kept and spent."""
    return asyncio.run(_campaign(setting, seed))


async def _campaign(setting: Setting, seed: int) -> Tally:
    scenario = setting.scenario
    rng = np.random.default_rng([seed, *setting.family.encode(), round(100 * scenario.gain)])
    gains = iter((rng.random(scenario.proposals + PER_SESSION) < scenario.gain_share).tolist())
    noise = stream(NOISE[setting.family], rng)
    truth = _Truth(setting, noise, np.random.default_rng([seed, 1]), gains)
    loop = _manifest(setting)

    def world(gateway: Gateway, _: Store) -> World:
        return _world(gateway, truth)

    truth.campaign = Campaign(loop, {"recipe.json": File(b"{}")}, world)
    ended = await truth.campaign.run()
    experiments = await truth.campaign.store.list(ResearchExperiment, loop.metadata.name)
    return _tally(ended, experiments, truth)


def _manifest(setting: Setting) -> ResearchLoop:
    """No target and no pivots: nothing but the acceptance decides what is kept."""
    document = {
        "metadata": {"name": "aa", "uid": "0" * 32},
        "spec": {
            "direction": "Keep what is better, and nothing else.",
            "boundaries": {"editable": ["recipe.json"]},
            "task": {"path": "./task"},
            "objective": {"metric": METRIC, "goal": "Maximize"},
            "evaluation": {
                "code": {"path": "./evaluation"},
                "command": ["./score"],
                "repeats": 1,
                "baselineRuns": 5 if setting.acceptance == "Standard" else 3,
                "acceptance": setting.acceptance,
                "falseKeepRate": setting.false_keep_rate,
            },
            "experiment": {"job": {}, "command": ["./train"], "activeDeadlineSeconds": 60},
            "agent": {"policy": {"name": "random-search"}, "maxExperiments": PER_SESSION},
            "parallelism": setting.parallelism,
            "stall": {"pivotAfter": 100, "attentionAfter": 1000},
            "budget": {"experiments": setting.scenario.proposals},
        },
    }
    return ResearchLoop.model_validate(document)


def _world(gateway: Gateway, truth: _Truth) -> World:
    def go(loop: ResearchLoop, work: Workload) -> Outcome:
        if work.role == "agent":
            return Outcome(1.0, act=lambda caller: _propose(gateway, truth, caller))
        baseline = names.baseline(loop.metadata.name)
        if work.role == "run":
            truth.begin(work, baseline)
            return Outcome(1.0)
        return verdict(METRIC, truth.measured(work, baseline))

    return go


async def _propose(gateway: Gateway, truth: _Truth, caller: Caller) -> None:
    """A session that proposes without looking: each proposal is a gain or nothing, by the scenario's chance."""
    if caller.session.endswith("i0001-s1"):
        request = DirectionRequest(title="blind proposals", fields={"method": "chance"})
        await gateway.propose_direction(caller, request)
    for sequence in range(1, PER_SESSION + 1):
        text = f'{{"proposal": "{caller.session}-{sequence}"}}'
        view = await gateway.propose_experiment(
            caller, ExperimentRequest(sequence=sequence, title="a proposal", files={"recipe.json": text})
        )
        truth.is_gain[view.name] = next(truth.gains)
    await gateway.finish(caller, FinishRequest(handoff=""))


def _tally(loop: ResearchLoop, experiments: list[ResearchExperiment], truth: _Truth) -> Tally:
    tally = Tally()
    for one in experiments:
        done = [run.kind for run in one.status.runs if run.phase == "Done"]
        if one.spec.kind == "Baseline":
            tally.extra_runs += len(done)
            continue
        name, is_gain = one.metadata.name, truth.is_gain[one.metadata.name]
        after = sum(kind in ("confirm", "audit") for kind in done)
        tally.proposals += 1
        tally.gains += is_gain
        tally.no_ops += not is_gain
        tally.extra_runs += sum(kind != "screen" for kind in done)
        if kept_number(one):
            tally.gains_kept += is_gain
            tally.false_keeps += not is_gain
            tally.keep_runs += after + truth.references[name]
    best = loop.status.best
    assert best is not None, "a campaign that measured its baseline has a best"
    tally.fake_gains.append(best.value - truth.level[best.experiment])
    return tally
