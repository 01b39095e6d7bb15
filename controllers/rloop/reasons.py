"""Why a campaign waits, and who ends the wait: one table for all reasons.

Read by `rloop.decide.conditions` and `display`: Ready, Degraded and Stalled follow from it. A new reason is one line
here and one in docs/troubleshooting.md, which a test compares.
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
"""A queue holds the workload back. A workload that is made anew starts at the queue's end, so no deadline counts."""
BEING_DELETED: Final = "BeingDeleted"
"""An older object of the same name is still being deleted."""
SEALED_FILES_LOST: Final = "SealedFilesLost"
"""Sealed files were deleted and cannot be made again."""
RESTORED: Final = "RestoredWithoutStatus"
"""Objects of a backup exist, and the loop's status, which is the campaign's only memory, is missing."""

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
        # What was sealed, and the verifier's inputs
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
    """Whether the campaign waits for a person. A reason that the table does not know does: better asked than missed."""
    return ACTORS.get(reason, "Person") == "Person"
