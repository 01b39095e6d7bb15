"""The verbs about findings: a statement with experiments as evidence.

Called by `gateway.service`.
"""

from __future__ import annotations

from rloop import names
from rloop.admit import finding as finding_gate
from rloop.api.iteration import Finding
from rloop.api.wire import FindingRequest
from rloop.errors import Refused
from rloop_operator.gateway.desk import WRITE_TRIES, Desk
from rloop_operator.ports import Caller

FINDINGS_MAX = 64
"""Of one iteration, as many as `Reported` holds."""


async def propose(desk: Desk, caller: Caller, request: FindingRequest) -> Finding:
    """Record it. Raises Refused unless the evidence is measured."""
    for _ in range(WRITE_TRIES):
        situation = await desk.open(caller)
        finding_gate.admit(request, situation.experiments)
        reported = situation.iteration.status.reported
        if len(reported.findings) >= FINDINGS_MAX:
            raise Refused("LimitReached", f"this iteration has its {FINDINGS_MAX} findings")
        own = [one for one in reported.findings if one.session == caller.session]
        new = Finding(
            name=names.finding(caller.session, len(own) + 1),
            statement=request.statement,
            evidence=request.evidence,
            session=caller.session,
            at=desk.now(),
        )
        changed = reported.model_copy(update={"findings": [*reported.findings, new]})
        if await desk.report(situation.iteration, changed):
            return new
    raise Refused("Busy", "too many writers at once: try again")
