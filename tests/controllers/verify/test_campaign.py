"""`verify` on whole campaigns: what was played fits, and whatever is changed afterwards is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from tests.support import gains
from tests.support.builders import done, experiment, loop, scoring, verdict
from tests.support.gains import Stored

from rloop.api.experiment import ResearchExperiment, Run, RunKind
from rloop.ledger_entry import Ledger
from rloop.verify.campaign import Verified

FIRST, SECOND, THIRD = "demo-i0001-e2", "demo-i0002-e2", "demo-i0003-e2"
"""The keeps of the campaign."""
Path = tuple[str | int, ...]


@cache
def played(acceptance: str = "Standard") -> Stored:
    return gains.played(acceptance)


def document(stored: Stored, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stored.experiments[name].model_dump_json(by_alias=True))
    return found


def edited(stored: Stored, name: str, path: Path, value: object) -> Stored:
    """The same with one field of an experiment's status changed."""
    one = document(stored, name)
    place: Any = one["status"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return stored.put(ResearchExperiment.model_validate(one))


def numbers(value: object, path: Path = ()) -> Iterator[tuple[Path, float]]:
    """Every number in a document."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from numbers(inner, (*path, key))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


@pytest.mark.parametrize("acceptance", ["Standard", "Economy", "Provisional"])
def test_what_was_played_fits(acceptance: str) -> None:
    found = played(acceptance).verified()
    assert isinstance(found, Verified), found
    assert (found.entries, found.gone, found.head) == (11, (), played(acceptance).ledger.head)
    assert found.keeps >= 3


def test_what_is_read_back_fits() -> None:
    stored = played()
    for name in stored.experiments:
        stored = stored.put(ResearchExperiment.model_validate(document(stored, name)))
    assert stored.verified() == played().verified()


def test_a_campaign_that_has_not_begun_fits() -> None:
    assert Stored(played().loop, {}, Ledger()).verified() == Verified(0, 0, "0" * 64, ())


RUN_FIELDS = {"number", "seed", "value", "claimed"}


def changes() -> list[tuple[Path, float]]:
    """Each number of a keep's verdict, runs and scores, changed a little. Of its later runs: the values and scores."""
    found = []
    status = document(played(), SECOND)["status"]
    for path, value in numbers(status):
        scores = path[0] == "runs" and path[2] == "verifications" and path[4] == "metrics"
        later = path[0] == "runs" and status["runs"][path[1]]["kind"] == "reference"
        own = path[0] == "runs" and path[2] in ({"number", "value"} if later else RUN_FIELDS)
        if path[0] == "verdict" or own or scores:
            little = 1e-9 if scores else 1e-15  # the mean of two scorings is rounded
            found.append((path, value + 1 if isinstance(value, int) else value * (1 + little) + 1e-300))
    return found


def test_each_number_of_a_keep_counts() -> None:
    cases = changes()
    assert len(cases) > 70
    for path, value in cases:
        assert SECOND in edited(played(), SECOND, path, value).told(), path


def test_each_number_of_an_entry_counts() -> None:
    stored = played()
    for index, text in enumerate(stored.ledger.texts):
        for path, value in numbers(json.loads(text)):
            entry = json.loads(text)
            place: Any = entry
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value + 1
            new = json.dumps(entry, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
            texts = (*stored.ledger.texts[:index], new, *stored.ledger.texts[index + 1 :])
            told = replace(stored, ledger=replace(stored.ledger, texts=texts)).told()
            assert f"entry {index + 1} (" in told, (path, told)


@pytest.mark.parametrize("field", ["value", "low", "high", "gain", "z", "n"])
def test_a_verdict_that_is_changed_everywhere_does_not_follow_from_its_runs(field: str) -> None:
    better = document(played(), SECOND)["status"]["verdict"][field] + 1
    stored = edited(played(), SECOND, ("verdict", field), better).written_anew()
    told = stored.told()
    assert told.startswith(f'keep 2 (experiment "{SECOND}") does not follow from its runs: they give {field} ')
    assert told.endswith(f"its verdict has {better}")


def run_of(stored: Stored, name: str, index: int, value: float) -> Stored:
    """The same with another value of one run, and scorings that give it."""
    for repeat in (0, 1):
        stored = edited(stored, name, ("runs", index, "verifications", repeat, "metrics", "loss"), value)
    return edited(stored, name, ("runs", index, "value"), value)


CHANGES: dict[str, tuple[Callable[[Stored], Stored], str]] = {
    "its own run": (lambda one: run_of(one, SECOND, 4, -99.0), "keep 2 "),
    "a run of its incumbent": (lambda one: run_of(one, FIRST, 4, -15.0), "keep 1 "),
    "a run of the baseline": (lambda one: run_of(one, "demo-b01", 2, 0.5), "keep 1 "),
    "so bad a run that it is none": (lambda one: run_of(one, THIRD, 4, 1000.0), "they give Reject("),
    "runs that are left out": (
        lambda one: edited(one, SECOND, ("verdict", "comparedRuns"), [2, 3]),
        f"was compared with runs 2, 3 of {FIRST}, whose finished runs are 2, 3, 4",
    ),
    "another incumbent": (
        lambda one: edited(one, THIRD, ("verdict", "comparedWith"), FIRST),
        f"was compared with {FIRST}, and the incumbent was {SECOND}",
    ),
    "a number that is taken": (
        lambda one: edited(one, THIRD, ("verdict", "keep"), 2),
        f'"{SECOND}" and "{THIRD}" both have the keep number 2',
    ),
    "a number that is skipped": (
        lambda one: edited(one, THIRD, ("verdict", "keep"), 4),
        "there are 3 keeps, and none has the number 3",
    ),
    "no number": (lambda one: edited(one, THIRD, ("verdict", "keep"), None), "is Accepted and has no keep number"),
    "unconfirmed": (lambda one: edited(one, THIRD, ("verdict", "unconfirmed"), True), "they give unconfirmed False"),
}


@pytest.mark.parametrize(("change", "told"), CHANGES.values(), ids=CHANGES)
def test_whoever_writes_everything_anew_must_still_follow_the_rule(
    change: Callable[[Stored], Stored], told: str
) -> None:
    assert told in change(played()).written_anew().told()


def scored(kind: RunKind, *values: float, first: int = 1) -> list[Run]:
    runs = done(kind, *values, first=first)
    return [one.model_copy(update={"verifications": [scoring(one.value)]}) for one in runs]


@pytest.mark.parametrize(
    ("compared_with", "fits"), [("demo-i0001-e2", True), ("demo-b01", False)], ids=["of the next incumbent", "of this"]
)
def test_a_rejected_challenger_counts_for_the_keep_over_its_incumbent(compared_with: str, fits: bool) -> None:
    keep = {"compared_with": "demo-b01", "compared_runs": [1, 2, 3], "keep": 1, "value": 0.5, "low": 0.5, "high": 0.5}
    own = verdict("Kept", gain=0.5, z=38.0, n=1, **keep)
    other = verdict("NotBetter", compared_with=compared_with)
    stored = [
        experiment("demo-b01", *scored("baseline", 1.0, 1.0, 1.0), phase="Accepted"),
        experiment(FIRST, *scored("screen", 0.5), *scored("confirm", 0.5, first=2), phase="Accepted", verdict=own),
        experiment("demo-i0001-e3", *scored("confirm", 1.0, 2.0), phase="Rejected", verdict=other),
    ]
    found = Stored(loop(), {one.metadata.name: one for one in stored}, Ledger()).verified()
    assert isinstance(found, Verified) is fits, "the task is deterministic, unless one of its challengers is not"
    assert fits or "they give More(" in str(found)


def test_a_value_that_its_scorings_do_not_give_is_named() -> None:
    stored = edited(played(), SECOND, ("runs", 4, "value"), -99.0).written_anew()
    assert f'experiment "{SECOND}", run 5: its value is -99.0, its scorings give' in stored.told()


def test_guardrails_are_met_by_every_keep() -> None:
    stored = gains.played(objective__guardrails=[{"metric": "run.wallSeconds", "max": "5"}])
    assert isinstance(stored.verified(), Verified)
    slow = edited(stored, SECOND, ("runs", 3, "attempts", 0, "usage", "wallSeconds"), 1000.0)
    assert "guardrail run.wallSeconds: " in slow.told()


def test_an_experiment_that_is_marked_as_appended_has_its_entry() -> None:
    stored = played().written_anew(f"experiment/{SECOND}")
    assert stored.told() == (
        f'experiment "{SECOND}" is marked as appended to the ledger, but the ledger has no entry "experiment/{SECOND}"'
    )
    waiting = edited(stored, SECOND, ("folded",), False)
    assert isinstance(waiting.verified(), Verified), "it is a moment before its entry is appended"
    changed = edited(waiting, SECOND, ("verdict", "gain"), 99.0)
    assert "they give gain" in changed.told()


def test_objects_that_are_gone_are_told_and_their_entries_verified() -> None:
    stored = played()
    found = stored.without("demo-i0001-e1").without(THIRD).verified()
    assert isinstance(found, Verified), found
    assert (found.gone, found.keeps) == (("demo-i0001-e1", THIRD), 3)
    forged = edited(stored, THIRD, ("verdict", "gain"), 99.0).written_anew().without(THIRD)
    assert forged.told().startswith("keep 3 ")
    assert forged.told().endswith(f"; the objects of experiments were deleted: {THIRD}")


def test_a_keep_over_runs_that_are_gone_with_their_incumbent_is_not_called_verified() -> None:
    told = played().without(FIRST).told()
    assert f"cannot be recomputed: it was compared with runs of {FIRST}, which was deleted" in told


def test_an_experiment_that_runs_again_does_not_fit_its_final_entry() -> None:
    stored = edited(played(), SECOND, ("phase",), "Running")
    assert "the experiment is Running" in stored.told()
