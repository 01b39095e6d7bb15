"""Reports passes that raise: by a condition and an Event of the loop, and a metric, not only in the operator's log.

Called by `passes`. Reporting never raises, and the same message is not written again: otherwise a failure would cause
writes, whose events would cause further passes without end.
"""

from __future__ import annotations

from datetime import UTC, datetime

import structlog
from pydantic import TypeAdapter, ValidationError

from rloop import names
from rloop.api.common import Condition
from rloop.decide import failed_pass
from rloop.errors import RloopError
from rloop_operator.cluster.kube import client, events
from rloop_operator.cluster.telemetry import metrics
from rloop_operator.cluster.telemetry.progress import Key

log = structlog.get_logger("rloop.failures")
RETRY_SECONDS_MAX = 30.0
TOLD_AFTER = 2
"""Failed passes in a row before they are reported; a single one may be chance."""
_CONDITIONS = TypeAdapter(list[Condition])


class Failures:
    """Failed passes in a row, by loop."""

    def __init__(self, api: client.Kube) -> None:
        self._api = api
        self._in_a_row: dict[Key, int] = {}
        self._told: dict[Key, str] = {}

    def succeeded(self, key: Key) -> None:
        """Reset the count after a successful pass or a deletion. The pass itself writes the loop's conditions."""
        self._told.pop(key, None)
        if self._in_a_row.pop(key, None) is not None:
            metrics.LOOP_FAILED_PASSES.remove(*key)

    async def failed(self, key: Key, error: Exception) -> float:
        """Count and report a pass that raised. Returns the seconds until the next pass."""
        metrics.RECONCILE_ERRORS.inc()
        count = self._in_a_row[key] = self._in_a_row.get(key, 0) + 1
        pause = min(RETRY_SECONDS_MAX, 2.0**count)
        unexpected = None if isinstance(error, RloopError) else error
        log.warning("reconcile_failed", detail=str(error), retry_seconds=pause, exc_info=unexpected)
        metrics.LOOP_FAILED_PASSES.labels(*key).set(count)
        message = _message(key, error)
        if count >= TOLD_AFTER and self._told.get(key) != message:
            await self._tell(key, message)
        return pause

    async def _tell(self, key: Key, message: str) -> None:
        path = client.objects(key[0], "researchloops", key[1])
        try:
            stored = await self._api.get(path)
            before = _CONDITIONS.validate_python(stored.get("status", {}).get("conditions", []))
            generation = stored["metadata"].get("generation", 0)
            after = failed_pass.conditions(before, message, generation, datetime.now(UTC))
            if after != before:
                body = {
                    "metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]},
                    "status": {
                        "conditions": _CONDITIONS.dump_python(after, mode="json", by_alias=True),
                        "display": {
                            "phase": f"{stored.get('status', {}).get('phase', 'Pending')}:{failed_pass.REASON}"
                        },
                    },
                }
                await self._api.patch(f"{path}/status", body)
            # One Event reports that passes fail; the message may change from pass to pass.
            self._told[key] = message
            if not failed_pass.told(before):
                labels = {names.LABEL_LOOP: key[1]}
                unique = f"{failed_pass.REASON}/{datetime.now(UTC).isoformat()}"
                await events.write(
                    self._api,
                    stored,
                    unique,
                    "Warning",
                    failed_pass.REASON,
                    message,
                    component="operator",
                    labels=labels,
                )
        except (RloopError, ValidationError) as problem:
            log.warning("failure_not_told", detail=str(problem))


def _message(key: Key, error: Exception) -> str:
    """The error's message and a remedy."""
    namespace, name = key
    if isinstance(error, RloopError):
        remedy = f"The operator retries every {RETRY_SECONDS_MAX:.0f} s; its log has details about {namespace}/{name}"
        return f"{str(error).rstrip('.')}. {remedy}"
    remedy = "This is a bug in ResearchLoop: please report it with the operator's log"
    return f"unexpected {type(error).__name__}: {str(error).rstrip('.')}. {remedy}"
