"""What must hold at every single write and start of a campaign, checked from outside on the stored objects.

Used by tests/sim. Nothing here calls a decision: what is promised is worked out again from the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isclose

from typing_extensions import override

from rloop.actions import Workload
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment, Run
from rloop.api.iteration import ResearchIteration
from rloop.api.researchloop import ResearchLoop
from rloop.observed import ARTIFACT_LOST
from rloop_operator.ports import AnyObject, Files, Object
from rloop_operator.sim.runtime import SimRuntime
from rloop_operator.sim.store import MemoryStore

STATUS_BYTES = 64 * 1024
Edges = Mapping[str, set[str]]

LOOP: Edges = {
    "Pending": {"Baseline", "Complete", "Failed"},
    "Baseline": {"Iterating", "Concluding", "Reporting", "Complete", "Failed"},
    "Iterating": {"Concluding", "Reporting", "Complete", "Failed"},
    "Concluding": {"Iterating", "Reporting", "Complete", "Failed"},
    "Reporting": {"Complete"},
    "Complete": set(),
    "Failed": set(),
}
EXPERIMENT: Edges = {
    "Queued": {"Running", "Withdrawn"},
    "Running": {"Verifying", *TERMINAL_PHASES},
    "Verifying": {"Running", *TERMINAL_PHASES},
    **{phase: set() for phase in TERMINAL_PHASES},
}
RUN: Edges = {
    "Queued": {"Running", "Withdrawn"},
    "Running": {"Verifying", "Failed", "Withdrawn", "Done", "Queued"},  # Queued again: no budget for its next attempt
    "Verifying": {"Done", "Failed", "Withdrawn", "Running", "Queued"},  # the same, where its artifact is lost
    "Done": set(),
    "Failed": set(),
    "Withdrawn": set(),
}
WORK: Edges = {
    "Pending": {"Running", "Succeeded", "Failed"},
    "Running": {"Succeeded", "Failed"},
    "Succeeded": set(),
    "Failed": set(),
}
SESSION: Edges = {
    "Pending": {"Running", "Finished", "Failed"},
    "Running": {"Pending", "Finished", "Failed"},
    "Finished": set(),
    "Failed": set(),
}
ITERATION: Edges = {"Open": {"Settled"}, "Settled": set()}


class WatchedStore(MemoryStore):
    """A store that looks at every write."""

    def __init__(self, task: Files) -> None:
        super().__init__(task)
        self.objects: dict[str, AnyObject] = {}
        self.writes = 0
        self.stale = 0
        self.keeps = 0

    def edit(self, loop: ResearchLoop) -> None:
        """The user edits spec or annotations."""
        self._put(loop, loop.metadata.uid)

    @override
    def _put(self, obj: Object, uid: str) -> Object:
        before = self.objects.get(obj.metadata.name)
        self.writes += 1
        if isinstance(obj, ResearchExperiment):
            self._experiment(before.status.runs if isinstance(before, ResearchExperiment) else [], obj)
            if isinstance(before, ResearchExperiment):
                moved(EXPERIMENT, before.status.phase, obj.status.phase, obj.metadata.name)
                if obj.status.verdict and obj.status.verdict.keep and not before.status.verdict:
                    self.keeps, self.stale = self.keeps + 1, 0
                    assert obj.status.verdict.keep == self.keeps, "keeps are numbered without a gap"
        elif isinstance(before, ResearchIteration) and isinstance(obj, ResearchIteration):
            self._iteration(before, obj)
        elif isinstance(before, ResearchLoop) and isinstance(obj, ResearchLoop):
            self._loop(before, obj)
        stored = self.objects[obj.metadata.name] = super()._put(obj, uid)
        return stored

    def _experiment(self, before: list[Run], obj: ResearchExperiment) -> None:
        old = {run.number: run for run in before}
        name = obj.metadata.name
        assert set(old) <= {run.number for run in obj.status.runs}, f"{name}: a run disappeared"
        for run in obj.status.runs:
            where = f"{name}-r{run.number}"
            was = old.get(run.number, run.model_copy(update={"phase": "Queued", "attempts": [], "verifications": []}))
            moved(RUN, was.phase, run.phase, where)
            tried = {one.number: one.phase for one in was.attempts}
            for one in run.attempts:
                if one.reason == ARTIFACT_LOST:
                    continue  # it had succeeded
                moved(WORK, tried.get(one.number, "Pending"), one.phase, f"{where}-a{one.number}")
            live = [one for one in run.attempts if one.phase in ("Pending", "Running")]
            assert len(live) <= 1, f"{where}: two live attempts"
            succeeded = [one.number for one in run.attempts if one.phase == "Succeeded"]
            assert succeeded in ([], [len(run.attempts)]), f"{where}: an attempt after one succeeded"
            assert not run.attempts or run.reservation is not None, f"{where}: started without a reservation"
            assert run.phase not in ("Done", "Failed") or not live, f"{where}: over, with a live attempt"
            self._value(where, run)

    def _value(self, where: str, run: Run) -> None:
        loop = self.loop()
        assert run.kind != "smoke" or (run.value is None and not run.verifications), (
            f"{where}: a smoke test is not scored"
        )
        if run.value is None:
            assert run.phase != "Done" or run.kind == "smoke", f"{where}: done without a value"
            return
        good = {one.repeat: one.metrics[loop.spec.objective.metric] for one in run.verifications if one.metrics}
        assert set(good) == set(range(1, loop.spec.evaluation.repeats + 1)), f"{where}: a value without all repeats"
        assert isclose(run.value, sum(good.values()) / len(good), abs_tol=1e-9), f"{where}: not the mean of its repeats"

    def _iteration(self, before: ResearchIteration, obj: ResearchIteration) -> None:
        name = obj.metadata.name
        moved(ITERATION, before.status.phase, obj.status.phase, name)
        was = {one.name: one for one in before.status.sessions or obj.status.sessions}
        for one in obj.status.sessions:
            moved(SESSION, was[one.name].phase, one.phase, one.name)
            assert was[one.name].attempt <= one.attempt <= was[one.name].attempt + 1, one.name
        if before.status.outcome is not None:
            assert obj.status.outcome == before.status.outcome, f"{name}: settled twice"
        elif obj.status.outcome is not None:
            # A smoke test that has started runs on when its session is over, and is no part of the outcome.
            mine = (one for one in self.experiments() if one.spec.iteration == obj.spec.number)
            own = {one.status.phase for one in mine if one.spec.kind == "Candidate"}
            assert own <= TERMINAL_PHASES, f"{name}: settled with an open experiment"
            waited = [one.session for one in obj.status.reported.usage if one.waiting]
            if waited and not own & {"Accepted", "Superseded"}:
                assert obj.status.outcome != "Stale", f"{name}: stale, but its provider was down"
            supported = [one for one in obj.status.reported.findings if one.checked == "Supported"]
            if obj.status.outcome == "Finding":
                assert supported or "Superseded" in own, f"{name}: a finding that nobody verified"
            assert not supported or obj.status.outcome in ("Keep", "Finding"), f"{name}: its finding was verified"
            for finding in obj.status.reported.findings:
                assert not (finding.checked_by or "").startswith(name), f"{name}: it checked itself"
            if obj.status.outcome == "Stale":
                assert obj.spec.generation == self.keeps + self.loop().status.pivots, f"{name}: stale, but of old"
                assert not own & {"Accepted", "Superseded"}, f"{name}: stale, but with a result"
                self.stale += 1
            else:
                assert (obj.status.outcome == "Keep") == ("Accepted" in own), name

    def _loop(self, before: ResearchLoop, obj: ResearchLoop) -> None:
        moved(LOOP, before.status.phase, obj.status.phase, obj.metadata.name)
        for one in before.status.conditions:
            if one.type in ("Complete", "Failed") and one.status == "True":
                assert one in obj.status.conditions, "completion is final"
        size = len(obj.status.model_dump_json(by_alias=True).encode())
        assert size < STATUS_BYTES, f"the status has {size} bytes"
        assert before.status.pivots <= obj.status.pivots <= before.status.pivots + 1
        used, limits = obj.status.budget.used, obj.spec.budget
        for name in ("runs", "experiments", "cpu_seconds"):
            limit = getattr(limits, name)
            assert limit is None or getattr(used, name) <= limit + 1e-6, f"{name}: {getattr(used, name)} of {limit}"

    def loop(self) -> ResearchLoop:
        """The one loop."""
        return next(one for one in self.objects.values() if isinstance(one, ResearchLoop))

    def experiments(self) -> list[ResearchExperiment]:
        """All experiments."""
        return [one for one in self.objects.values() if isinstance(one, ResearchExperiment)]

    def iterations(self) -> list[ResearchIteration]:
        """All iterations."""
        return [one for one in self.objects.values() if isinstance(one, ResearchIteration)]


class WatchedRuntime(SimRuntime):
    """A runtime that looks at every start."""

    store: WatchedStore

    @override
    async def start(self, loop: ResearchLoop, workload: Workload) -> None:
        name = workload.name
        assert name not in self._ever, f"{name}: started twice"
        conditions = {one.type: one.status for one in self.store.loop().status.conditions}
        assert "True" not in (conditions.get("Complete"), conditions.get("Failed")), f"{name}: started after the end"
        if workload.role == "agent":
            sessions = [one for it in self.store.iterations() for one in it.status.sessions]
            stored = next(one for one in sessions if one.name == workload.session)
            assert (stored.phase, stored.attempt) == ("Pending", workload.number), f"{name}: no stored intent"
        else:
            self._check_run(workload)
        await super().start(loop, workload)

    def _check_run(self, workload: Workload) -> None:
        name = workload.name
        experiment = next(one for one in self.store.experiments() if one.metadata.name == workload.owner)
        run = next(one for one in experiment.status.runs if one.number == workload.run)
        if workload.role == "verification":
            scoring = next(one for one in run.verifications if one.number == workload.number)
            assert (run.phase, scoring.phase) == ("Verifying", "Pending"), f"{name}: no stored intent"
            return
        assert run.phase == "Running", f"{name}: its run is {run.phase}"
        assert run.attempts[-1].number == workload.number, f"{name}: not the newest attempt"
        assert run.attempts[-1].phase == "Pending", f"{name}: no stored intent"
        assert run.seed == workload.seed
        alive = [one for one in self.live() if one.startswith(f"{workload.owner}-r{workload.run}-a")]
        assert not alive, f"{name}: {alive[0]} lives"


def moved(edges: Edges, before: str, after: str, where: str) -> None:
    """Fail unless the phase stays or may go there."""
    assert after == before or after in edges[before], f"{where}: {before} -> {after}"
