"""Verifies a whole campaign: the chain of its ledger, its experiments against the ledger, and every keep.

Called by `rloop verify`. It trusts nothing that was stored about a result: every keep is decided again from the runs by
the same functions that decided it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from rloop import ledger_entry
from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop.campaign_state import kept_number
from rloop.ledger_entry import Ledger
from rloop.verify import agreement, keeps


@dataclass(frozen=True, slots=True)
class Verified:
    """Everything fits."""

    entries: int
    keeps: int
    head: str
    """The hash of the newest entry. It covers all entries."""
    gone: tuple[str, ...]
    """Experiments that have an entry and no object any more. Their entries were used instead."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """The first thing that does not fit, in a sentence."""

    told: str


def verify(loop: ResearchLoop, experiments: Mapping[str, ResearchExperiment], ledger: Ledger) -> Verified | Misfit:
    """Verify a campaign. `experiments` are all its objects, and are read not later than `ledger`."""
    name = loop.metadata.name
    if (told := ledger_entry.misfit(name, ledger)) is not None:
        return Misfit(told)
    entries = ledger.entries
    deleted: dict[str, ResearchExperiment] = {}
    try:
        deleted = agreement.deleted(entries, experiments)
    except ValueError as error:
        return Misfit(str(error))
    found = chain(
        agreement.misfits(loop.spec.objective.metric, entries, experiments),
        keeps.misfits(loop, experiments, deleted),
    )
    if (told := next(found, None)) is not None:
        return Misfit(told)
    count = sum(kept_number(one) > 0 for one in (*experiments.values(), *deleted.values()))
    return Verified(len(entries), count, ledger.head, tuple(sorted(deleted)))
