"""Why a campaign waits, and who ends the wait: one table for all reasons.

Read by `rloop.decide.campaign.conditions` and `display`, which derive Ready, Degraded and Stalled from it. A new reason
needs one line here and one in docs/troubleshooting.md; a test compares both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

Actor = Literal["Person", "Time"]
"""Who ends the wait: a person who changes something, or the passing of time."""

CAPACITY: Final = "WaitingForCapacity"
"""The nodes are full; other workloads will end."""
QUEUED: Final = "Queued"
"""A queue holds the workload back. No deadline counts, because a recreated workload starts at the end of the queue."""
BEING_DELETED: Final = "BeingDeleted"
"""An older object of the same name is still being deleted."""
SEALED_FILES_LOST: Final = "SealedFilesLost"
"""Sealed files were deleted and cannot be recreated."""
RESTORED: Final = "RestoredWithoutStatus"
"""Objects of a backup exist, but the loop's status, which is the campaign's only memory, is missing."""

ACTORS: Final[Mapping[str, Actor]] = MappingProxyType(
    {
        # Accept
        "InvalidSpec": "Person",
        RESTORED: "Person",
        "ReconcileFailed": "Person",
        # Objects that cannot be created
        "NameTaken": "Person",
        BEING_DELETED: "Time",
        "QuotaExceeded": "Person",
        "NamespaceTerminating": "Person",
        "PodNotAdmitted": "Person",
        "ServiceAccountMissing": "Person",
        "Forbidden": "Person",
        "NotAdmitted": "Person",
        "TrainingOperatorMissing": "Person",
        # Pods that do not start
        "ImagePullFailed": "Person",
        "ContainerNotStarted": "Person",
        "InputsMissing": "Person",
        "StorageClassMissing": "Person",
        "VolumeNotBound": "Person",
        "VolumeLost": "Person",
        "Unschedulable": "Person",
        "TrainingOperatorSilent": "Person",
        CAPACITY: "Time",
        QUEUED: "Time",
        # Sealed files, and the verifier's inputs
        SEALED_FILES_LOST: "Person",
        "EvaluatorChanged": "Person",
        "InputsUnavailable": "Person",
        # Sessions and their provider
        "AgentFailing": "Person",
        "NothingDone": "Person",
        "AllowanceSpent": "Person",
        "BudgetSpent": "Time",
        "ContextTooLong": "Person",
        "RequestRefused": "Person",
        "StreamBroken": "Person",
        "AnswerEmpty": "Person",
        "DeadlineExceeded": "Person",
        "NoProgress": "Person",
        "InfrastructureFailing": "Person",
        "Plateau": "Time",
        "ProviderDown": "Time",
        "HourCap": "Time",
        "ProviderRefused": "Person",
        "ProviderUnknown": "Person",
        "ModelUnknown": "Person",
        "PriceUnknown": "Person",
        "CapTooSmall": "Person",
    }
)


def needs_person(reason: str) -> bool:
    """Whether the campaign waits for a person. True for an unknown reason, so that no wait goes unnoticed."""
    return ACTORS.get(reason, "Person") == "Person"
