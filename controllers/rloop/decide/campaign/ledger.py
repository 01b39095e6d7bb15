"""Appends final facts to the ledger, exactly once: directions, experiments with their verdicts, findings.

An entry is appended before its object is marked as folded. The key makes a second try after a crash a no-op.
"""

from __future__ import annotations

from rloop import campaign_state, ledger_entry
from rloop.actions import Append
from rloop.api.experiment import TERMINAL_PHASES
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
            draft.act(ledger_entry.of_experiment(experiment))
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
