"""The format of the ledger, the same in every shell: the text of an entry, its hash, and the order of the entries.

Used by the stores, which append and read, by `rloop.decide.campaign.ledger` and by `rloop.verify`. Each entry names the
hash of the previous one, so that a changed, removed or inserted entry is found.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from typing import Any

from rloop import campaign_state
from rloop.actions import Append
from rloop.api.experiment import ResearchExperiment

GENESIS = "0" * 64
"""What the first entry names as the hash of the previous one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    previous: str
    """SHA-256 of the previous entry's text."""
    loop: str
    key: str
    kind: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The entry as canonical JSON. This text is stored, and its hash is the entry's."""
        fields = {name: getattr(self, name) for name in ("previous", "loop", "key", "kind", "body")}
        return json.dumps(fields, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a loop as a shell has stored it."""

    texts: tuple[str, ...] = ()
    """The entries, oldest first."""
    head: str = GENESIS
    """The hash that is stored next to the newest entry."""
    missing: str = ""
    """The parts that are known to be deleted; empty if none are."""

    @property
    def entries(self) -> list[Entry]:
        """The entries, oldest first. Raises ValueError if `misfit` names one that cannot be read."""
        return [read(text) for text in self.texts]


def following(previous: str, loop: str, entry: Append) -> Entry:
    """The entry that is appended after the one with this hash."""
    return Entry(previous, loop, entry.key, entry.kind, entry.body)


def digest(text: str) -> str:
    """The hash of an entry's text."""
    return sha256(text.encode()).hexdigest()


def read(text: str) -> Entry:
    """The entry of a text. Raises ValueError if it is none."""
    fields = json.loads(text)
    kinds = {"previous": str, "loop": str, "key": str, "kind": str, "body": dict}
    if not isinstance(fields, dict) or {name: type(value) for name, value in fields.items()} != kinds:
        raise ValueError("it lacks the fields of an entry")
    entry = Entry(**fields)
    if entry.text != text:
        raise ValueError("it is not in the canonical form of an entry")
    return entry


def in_order(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts in the order in which they were appended. Those that the first entry does not lead to come last."""
    following_of: dict[str, list[str]] = {}
    for text in sorted(texts, reverse=True):
        following_of.setdefault(_previous(text), []).append(text)
    known = {digest(text) for group in following_of.values() for text in group}
    ordered: list[str] = []
    for start in (GENESIS, *(one for one in following_of if one not in known), *following_of):
        while following_of.get(start):
            at = start
            while group := following_of.get(at):
                ordered.append(group.pop())
                at = digest(ordered[-1])
    return tuple(ordered)


def _previous(text: str) -> str:
    try:
        return read(text).previous
    except ValueError:
        return ""


def misfit(loop: str, ledger: Ledger) -> str | None:
    """A sentence about the first entry of a ledger that does not follow from what precedes it; None if all do."""
    return next(_misfits(loop, ledger), None)


def _misfits(loop: str, ledger: Ledger) -> Iterator[str]:
    if ledger.missing:
        yield f"parts of the ledger were deleted: {ledger.missing}; later entries cannot prove their content"
    entries = []
    for number, text in enumerate(ledger.texts, start=1):
        try:
            entries.append(read(text))
        except ValueError as error:
            yield f"entry {number} was changed, it cannot be read: {error}"
    if entries and entries[0].previous != GENESIS:
        yield f"{named(1, entries[0])} is the first entry, but others preceded it: they were removed"
    for number, (before, after) in enumerate(pairwise(entries), start=1):
        if after.previous != digest(before.text):
            yield (
                f"{named(number, before)} does not have the hash that {named(number + 1, after)} names as the previous"
                " one: one of them was changed, or entries between them were removed"
            )
    if ledger.head != (digest(ledger.texts[-1]) if ledger.texts else GENESIS):
        last = named(len(entries), entries[-1]) if entries else "the ledger is empty, but it"
        yield f"{last} does not have the hash that is stored as the newest: it was changed, or later ones were removed"
    seen: set[str] = set()
    for number, entry in enumerate(entries, start=1):
        if entry.loop != loop:
            yield f'{named(number, entry)} belongs to another loop, "{entry.loop}"'
        if entry.key in seen:
            yield f"{named(number, entry)} is there twice"
        seen.add(entry.key)


def named(number: int, entry: Entry) -> str:
    """An entry in a sentence."""
    return f'entry {number} ("{entry.key}")'


def of_experiment(experiment: ResearchExperiment) -> Append:
    """The entry of an experiment that has ended.

    What the end of the budget withdrew has a key of its own, because it may come back and get another verdict.
    """
    name, verdict = experiment.metadata.name, experiment.status.verdict
    key = f"experiment/{name}"
    if verdict is not None and campaign_state.undecided(experiment):
        key = f"undecided/{name}/{verdict.at:%Y%m%dT%H%M%SZ}"
    body: dict[str, object] = {
        "name": name,
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
    return Append(key, "experiment", body)
