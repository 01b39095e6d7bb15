"""Conditions of a loop whose passes fail, because then no decision exists that could write them.

Called by the cluster's operator after a pass that raised. The conditions remain until a pass succeeds, which writes all
of them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rloop.api.common import Condition, ConditionStatus

REASON = "ReconcileFailed"
MESSAGE_MAX = 1024
TOLD: tuple[tuple[str, ConditionStatus], ...] = (("Degraded", "True"), ("Ready", "False"), ("Stalled", "True"))


def conditions(before: Sequence[Condition], message: str, generation: int, now: datetime) -> list[Condition]:
    """The loop's conditions, including the failure."""
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
    """Whether the conditions already report failing passes."""
    return any(one.type == "Degraded" and one.reason == REASON for one in conditions)
