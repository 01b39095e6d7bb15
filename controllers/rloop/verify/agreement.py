"""Compares the ledger's entries with the stored experiments, and the values of runs with their scorings.

Called by `campaign`. An entry is final. Its object may only gain runs afterwards, and what the end of the budget
withdrew may come back (docs/adr/0027).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rloop import ledger_entry
from rloop.api.common import ObjectMeta
from rloop.api.experiment import (
    TERMINAL_PHASES,
    ResearchExperiment,
    ResearchExperimentSpec,
    ResearchExperimentStatus,
)
from rloop.decide.queries import runs
from rloop.ledger_entry import Entry, named


def deleted(entries: Sequence[Entry], experiments: Mapping[str, ResearchExperiment]) -> dict[str, ResearchExperiment]:
    """The experiments that have an entry and no object, as their newest entry has them.

    Raises ValueError about an entry that is not that of an experiment.
    """
    found = {}
    for number, entry in enumerate(entries, start=1):
        if entry.kind != "experiment":
            continue
        try:
            one = _restored(entry)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{named(number, entry)} is not a valid entry of an experiment: {error}") from error
        if one.metadata.name not in experiments:
            found[one.metadata.name] = one
    return found


def _restored(entry: Entry) -> ResearchExperiment:
    """The experiment, with those fields that the entry has."""
    status = {field: entry.body[field] for field in ("phase", "verdict", "runs")}
    return ResearchExperiment(
        metadata=ObjectMeta(name=entry.body["name"]),
        spec=ResearchExperimentSpec.model_validate(entry.body["spec"]),
        status=ResearchExperimentStatus.model_validate(status),
    )


def misfits(metric: str, entries: Sequence[Entry], experiments: Mapping[str, ResearchExperiment]) -> Iterator[str]:
    """Sentences about entries and experiments that do not fit each other, the first entry first."""
    for number, entry in enumerate(entries, start=1):
        one = experiments.get(entry.body["name"]) if entry.kind == "experiment" else None
        told = None if one is None else _difference(entry, one)
        if told is not None:
            yield f"{named(number, entry)} and its experiment differ: {told}"
    keys = {entry.key for entry in entries}
    for name, one in experiments.items():
        if one.status.folded and (key := ledger_entry.of_experiment(one).key) not in keys:
            yield f'experiment "{name}" is marked as appended to the ledger, but the ledger has no entry "{key}"'
        for run in one.status.runs:
            scored = runs.scored(run, metric)
            if run.phase == "Done" and run.value != scored:
                yield f'experiment "{name}", run {run.number}: its value is {run.value}, its scorings give {scored}'


def _difference(entry: Entry, experiment: ResearchExperiment) -> str | None:
    """The first difference between an entry and its experiment, in words; None if they agree."""
    now = ledger_entry.of_experiment(experiment)
    final = entry.key == now.key and experiment.status.phase in TERMINAL_PHASES
    if not final and not entry.key.startswith("undecided/"):
        return f"the experiment is {experiment.status.phase}, and its entry would be {now.key}"
    stored: Any = now.body
    compared = ("name", "spec", "phase", "verdict") if final else ("name", "spec")
    for field in compared:
        if (told := _first(entry.body[field], stored[field], field)) is not None:
            return told
    present = {run["number"]: run for run in stored["runs"]}
    for run in entry.body["runs"]:
        found = present.get(run["number"])
        if found is not None and run["phase"] == "Withdrawn" != found["phase"]:
            found = found | {key: run[key] for key in ("phase", "value", "claimed")}  # it came back
        if (told := _first(run, found, f"run {run['number']}")) is not None:
            return told
    return None


def _first(entry: Any, stored: Any, path: str) -> str | None:
    """The first field in which two documents differ, in words."""
    if isinstance(entry, dict) and isinstance(stored, dict):
        keys = sorted({*entry, *stored})
        return next((told for key in keys if (told := _first(entry.get(key), stored.get(key), f"{path}.{key}"))), None)
    if entry == stored:
        return None
    return f"{path} is {_short(entry)} in the entry and {_short(stored)} in the experiment"


def _short(value: object) -> str:
    text = "missing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
