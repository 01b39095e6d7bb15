"""What a loop says when passes over it fail: its own decision is not there to say it.

Called by the cluster's operator after a pass that raised. The conditions stand until a pass succeeds, because that one
writes all of them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rloop.api.common import Condition, ConditionStatus

REASON = "ReconcileFailed"
MESSAGE_MAX = 1024
TOLD: tuple[tuple[str, ConditionStatus], ...] = (("Degraded", "True"), ("Ready", "False"), ("Stalled", "True"))


def conditions(before: Sequence[Condition], message: str, generation: int, now: datetime) -> list[Condition]:
    """The loop's conditions with the failure in them."""
    by_type = {one.type: one for one in before}
    for type_, status in TOLD:
        old = by_type.get(type_)
        by_type[type_] = Condition(
            type=type_,
            status=status,
            reason=REASON,
            message=message[:MESSAGE_MAX],
            last_transition_time=now if old is None or old.status != status else old.last_transition_time,
            observed_generation=generation,
        )
    return [by_type[type_] for type_ in sorted(by_type)]


def told(conditions: Sequence[Condition]) -> bool:
    """Whether they say already that passes fail."""
    return any(one.type == "Degraded" and one.reason == REASON for one in conditions)
