"""Accepts the loop: is the spec usable, and is the task frozen? First step of the chain.

A problem becomes a condition and is checked again in every pass: when its cause is gone, the campaign continues by
itself. A loop without a status whose children it did not create is a restored backup, and is not started from zero.
"""

from __future__ import annotations

from rloop import names
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration
from rloop.decide.draft import Draft
from rloop.reasons import Reason

Child = ResearchExperiment | ResearchIteration
MESSAGE_MAX = 4096
RESTORED_TOLD = (
    "this loop has no status, but it has experiments or iterations: it was restored from a backup without statuses; "
    "restore the statuses too (docs/cluster.md, Backup and restore), and the campaign continues; to start from zero "
    "instead, delete the loop and apply it again"
)


def seal(draft: Draft) -> None:
    """Set Accepted, and record the hashes of everything that must not change from now on."""
    observed = draft.observed
    if _restored(draft):
        if not _refused_as_restored(draft):
            draft.tell(Reason.RESTORED_WITHOUT_STATUS, RESTORED_TOLD, warning=True)
        draft.condition("Accepted", "False", Reason.RESTORED_WITHOUT_STATUS, RESTORED_TOLD)
        return
    if draft.status.sealed is None and _others(draft):
        told = (
            "children of an earlier loop of this name are still being deleted; the campaign starts when they are gone"
        )
        draft.condition("Accepted", "Unknown", Reason.BEING_DELETED, told)
        return
    if observed.problems:
        told = "; ".join(map(str, observed.problems))[:MESSAGE_MAX]
        if not any(one.type == "Accepted" and one.message == told for one in draft.status.conditions):
            draft.tell("NotAccepted", told, warning=True)
        draft.condition("Accepted", "False", "InvalidSpec", told)
        return
    if draft.status.sealed is None and observed.sealed is not None:
        draft.write(sealed=observed.sealed)
        draft.tell("Accepted", "the spec is valid and the task is sealed")
    if draft.status.sealed is not None:
        draft.condition("Accepted", "True", "SpecValid", "the spec is valid and the task is sealed")


def _restored(draft: Draft) -> bool:
    """Whether the loop was created again from a backup, without the status that is the campaign's memory.

    Once reported, this holds until a status is written, because the API server soon deletes children whose owner does
    not exist. Children of an earlier loop of the same name, which is being deleted, have a status.
    """
    if draft.status.baseline is not None or draft.finished:
        return False
    if _refused_as_restored(draft) or any(
        one.reason == Reason.RESTORED_WITHOUT_STATUS for one in draft.observed.obstacles
    ):
        return True
    others = _others(draft)
    kept = draft.status.sealed is None and any(not one.metadata.owner_references for one in others)
    return kept or any(_bare(draft, one) for one in others)


def _refused_as_restored(draft: Draft) -> bool:
    return any(
        one.type == "Accepted" and one.reason == Reason.RESTORED_WITHOUT_STATUS for one in draft.status.conditions
    )


def _others(draft: Draft) -> list[Child]:
    """Children that were not created by this loop object."""
    uid = draft.loop.metadata.uid or "unknown"
    children: list[Child] = [*draft.observed.experiments.values(), *draft.observed.iterations.values()]
    return [one for one in children if all(owner.uid != uid for owner in one.metadata.owner_references)]


def _bare(draft: Draft, child: Child) -> bool:
    """Whether the child has no status although it gets one right after its creation.

    A restored child has none, because the API server drops the status in a create request.
    """
    if isinstance(child, ResearchIteration):
        return not child.status.sessions
    return child.metadata.name == names.baseline(draft.name) and not child.status.runs
