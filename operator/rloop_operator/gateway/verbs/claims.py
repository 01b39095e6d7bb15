"""The verbs about findings: a statement with experiments as evidence, and a checker's verdict on it.

Called by `gateway.verbs.service`.
"""

from __future__ import annotations

import structlog

from rloop import names
from rloop.admit import finding as finding_gate
from rloop.api.iteration import Checked, Finding, ResearchIteration
from rloop.api.wire import FindingRequest, FindingVerdict
from rloop.errors import Refused
from rloop.session_view import visibility
from rloop_operator.gateway.verbs.caller_view import CallerView, until_written
from rloop_operator.ports import Caller

log = structlog.get_logger("rloop.gateway")
FINDINGS_MAX = 64
"""Maximum number of findings per iteration, as many as `Reported` can hold."""


async def propose(view: CallerView, caller: Caller, request: FindingRequest) -> Finding:
    """Record the finding. Raises Refused unless it is new and its evidence is measured."""

    async def attempt() -> Finding | None:
        situation = await view.proposing(caller, await view.stating(caller))
        recorded = [one for it in situation.iterations.values() for one in it.status.reported.findings]
        finding_gate.admit(request, situation.experiments, recorded)
        reported = situation.iteration.status.reported
        if len(reported.findings) >= FINDINGS_MAX:
            raise Refused("LimitReached", f"this iteration has the maximum of {FINDINGS_MAX} findings")
        own = [one for one in reported.findings if one.session == caller.session]
        new = Finding(
            name=names.finding(caller.session, len(own) + 1),
            statement=request.statement,
            evidence=request.evidence,
            session=caller.session,
            at=view.now(),
        )
        changed = reported.changed(findings=[*reported.findings, new])
        if await view.report(situation.iteration, changed):
            return new
        return None

    return await until_written(attempt)


async def judge(view: CallerView, caller: Caller, name: str, verdict: FindingVerdict) -> Finding:
    """Write a checker's verdict on the finding. Only the first one counts. Raises Refused."""

    async def attempt() -> Finding | None:
        situation = await view.open(caller)
        if situation.session.role == "Check":
            situation = await view.proposing(caller, situation)
        told = [one for it in situation.iterations.values() for one in it.status.reported.findings]
        before = next((one for one in told if one.name == name and one.checked_by == caller.session), None)
        if before is not None:
            return before
        finding_gate.admit_verdict(name, situation.session, visibility.claims(situation))
        checked: Checked = "Supported" if verdict.supported else "Refuted"
        holder = next(it for it in situation.iterations.values() if name in _names(it))
        reported = holder.status.reported
        found = [
            one.changed(checked=checked, reason=verdict.reason, checked_by=caller.session) if one.name == name else one
            for one in reported.findings
        ]
        if await view.report(holder, reported.changed(findings=found)):
            log.info("finding_checked", loop=caller.loop, finding=name, checked=checked)
            return next(one for one in found if one.name == name)
        return None

    return await until_written(attempt)


def _names(iteration: ResearchIteration) -> set[str]:
    return {one.name for one in iteration.status.reported.findings}
