"""Appends final facts to the ledger, exactly once: directions, experiments with their verdicts, findings.

An entry is appended before its object is marked as folded. The key makes a second try after a crash a no-op.
"""

from __future__ import annotations

from rloop import campaign_state
from rloop.actions import Append
from rloop.api.experiment import TERMINAL_PHASES, ResearchExperiment
from rloop.decide.draft import Draft
from rloop.decide.queries import runs


def append(draft: Draft) -> None:
    """Append stored terminal experiments, and the directions and findings of iterations as they settle."""
    for name, experiment in draft.observed.experiments.items():
        if experiment.status.folded or experiment.status.phase not in TERMINAL_PHASES:
            continue
        if draft.experiments[name].status.phase not in TERMINAL_PHASES:
            continue  # a larger budget has just brought it back: its verdict is still to come
        if experiment.spec.kind == "Baseline" and campaign_state.undecided(experiment):
            continue  # every ledger begins with its value, or with the reason why it failed
        if not runs.any_open(experiment):
            draft.act(Append(_key(experiment), "experiment", _experiment(experiment)))
            draft.write_experiment(name, folded=True)
    for name, iteration in draft.iterations.items():
        if iteration.status.phase != "Settled" or draft.observed.iterations[name].status.phase == "Settled":
            continue
        for direction in iteration.status.reported.directions:
            draft.act(
                Append(
                    f"direction/{direction.name}",
                    "direction",
                    direction.model_dump(mode="json", by_alias=True),
                )
            )
        for finding in iteration.status.reported.findings:
            draft.act(Append(f"finding/{finding.name}", "finding", finding.model_dump(mode="json", by_alias=True)))


def _key(experiment: ResearchExperiment) -> str:
    """The key of an experiment's verdict.

    What the end of the budget withdrew has a key of its own, because it may come back and get another verdict.
    """
    name, verdict = experiment.metadata.name, experiment.status.verdict
    if verdict is not None and campaign_state.undecided(experiment):
        return f"undecided/{name}/{verdict.at:%Y%m%dT%H%M%SZ}"
    return f"experiment/{name}"


def _experiment(experiment: ResearchExperiment) -> dict[str, object]:
    verdict = experiment.status.verdict
    return {
        "name": experiment.metadata.name,
        "spec": experiment.spec.model_dump(mode="json", by_alias=True),
        "phase": experiment.status.phase,
        "verdict": verdict.model_dump(mode="json", by_alias=True, exclude_none=True) if verdict else None,
        "runs": [
            {
                "number": run.number,
                "seed": run.seed,
                "kind": run.kind,
                "phase": run.phase,
                "value": run.value,
                "claimed": run.claimed,
            }
            for run in experiment.status.runs
        ],
    }
