"""Judges how an agent session ended: it played, it failed, or its process is restarted.

Called by `session` when a session's process has ended. A session has played if it proposed something (a direction, an
experiment, a finding or a verdict on one; also if the gateway rejected it), or if it called finish while its model
answered. Reading is not playing: every client reads. Only a session that played says anything about its direction, so
only such a session can make an iteration stale (docs/adr/0013). Pure: the same facts give the same judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import CallFailure, Reported, SessionUsage
from rloop.decide.queries import certain_failure

NOTHING_DONE = "NothingDone"
"""Reason of a session whose process ended with exit code 0, without a proposal and without finish."""
PERMANENT = frozenset({"AllowanceSpent", "BudgetSpent", "ContextTooLong", "RequestRefused"})
"""Failures of model calls that a new process of the same session would meet again."""
OVERTIME = frozenset({"DeadlineExceeded", "NoProgress"})
"""Reasons of a process that was ended because it took too long."""
NO_PERMISSION = 77
"""Exit code EX_NOPERM of sysexits.h: our wrapper ends with it if a coding agent is not logged in."""
MESSAGE_MAX = 1024
QUOTED_MAX = 300
REMEDIES = {
    NOTHING_DONE: "it must propose something or call finish: POST $RLOOP_GATEWAY/v1/finish; an MCP client must find "
    "the tools and be allowed to call them without a permission prompt (docs/bring-your-own-agent.md)",
    "AllowanceSpent": "raise spec.agent.llm.maxTokensPerSession",
    "BudgetSpent": "raise spec.budget.tokens or spec.budget.cost",
    "ContextTooLong": "use a model with a larger context, or an agent that shortens its history",
    "RequestRefused": "correct the agent's request, or spec.agent.llm",
    "StreamBroken": "check the provider",
    "AnswerEmpty": "check the provider and spec.agent.llm.model",
    "DeadlineExceeded": "raise spec.agent.sessionSeconds, or check what the agent waits for",
    "NoProgress": "check what the agent waits for",
}
OF_A_CLIENT = {
    NOTHING_DONE: "the client must find the tools of the MCP server rloop and be allowed to call them without a "
    "prompt, and its model must call them; rloop logs SESSION shows what both did (docs/coding-agents.md)",
}
"""Remedies that differ for a coding agent by name (`agent.client`), whose program the user cannot change."""
MEND = "correct the agent's program (spec.agent) or its installation; its log may name the remedy"
"""Remedy for a program that cannot work. The reason is that of its process."""
_TEXTS = re.compile(r'"(?:result|message|error|text)"\s*:\s*"((?:[^"\\]|\\.)+)"')
_EVENT = re.compile(r'"event"\s*:\s*"((?:[^"\\]|\\.)+)"')


@dataclass(frozen=True, slots=True)
class Facts:
    """The known facts about a session whose process has ended."""

    proposed: bool
    finished: bool
    """True if it called finish."""
    code: int | None
    """Exit code of its process; None if it was ended from outside or vanished."""
    reason: str
    """Reason of the end of its process, in one word."""
    lost: bool = False
    """True if the process vanished, was silent, never started, or was ended by the infrastructure."""
    failure: CallFailure | None = None
    """Failure of its latest model call."""
    waits: SessionUsage | None = None
    """Set if its model calls get no response from the provider."""
    log_tail: str = ""
    client: bool = False
    """True if the agent is a coding agent by name (`agent.client`)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Result. If `end` is False, the process is restarted, provided that a restart is left."""

    end: bool
    """True if the session is over."""
    failed: bool
    reason: str
    message: str = ""
    infrastructure: bool = False


def judge(facts: Facts) -> Judgement:
    """Decide whether the session is over, and whether it failed."""
    if facts.waits is not None:
        why = facts.waits.waiting or "ProviderDown"
        return Judgement(True, True, why, facts.waits.waiting_message, infrastructure=True)
    failure = facts.failure
    if facts.finished and (facts.proposed or failure is None):
        return Judgement(True, False, "Completed")
    if failure is not None and failure.reason in PERMANENT:
        return _ended(facts, failure.reason)
    if facts.finished:
        return _ended(facts, facts.reason)
    if facts.lost or (facts.code != 0 and facts.reason not in OVERTIME):
        why = facts.reason if failure is None or facts.lost else failure.reason
        # After a failed model call the program may have crashed because of that: retry it in another process.
        doubtful = facts.lost or failure is not None
        certain = None if doubtful else _certain(facts)
        message = _message(facts, why, certain)
        return Judgement(certain is not None, True, why, message, infrastructure=facts.lost)
    return _ended(facts, facts.reason)


def _certain(facts: Facts) -> str | None:
    """Why a restart would fail in the same way, as a clause; None if it may help."""
    if facts.code == NO_PERMISSION and facts.reason == "Error":
        return "nobody is logged in"
    return certain_failure.broken_program(facts.reason, facts.code, facts.log_tail)


def _ended(facts: Facts, reason: str) -> Judgement:
    """Judgement of a session that is not restarted: if it proposed something, that counts; otherwise it has failed."""
    if facts.proposed:
        return Judgement(True, False, reason)
    if facts.failure is not None:
        reason = facts.failure.reason
    elif facts.code == 0 and reason not in OVERTIME:
        reason = NOTHING_DONE
    return Judgement(True, True, reason, _message(facts, reason))


def _message(facts: Facts, reason: str, certain: str | None = None) -> str:
    """The cause, as reported by the component that observed it, and the remedy. The log tail is the last resort."""
    if facts.failure is not None and not facts.lost:
        cause = facts.failure.message or reason
    elif reason == NOTHING_DONE:
        cause = "its process ended with exit code 0, proposed nothing and did not call finish"
        cause += quoted(facts.log_tail)
    else:
        how = "" if facts.code is None else f" with exit code {facts.code}"
        again_too = "" if certain is None else f", and a restart would fail again: {certain}"
        cause = f"its process ended{how} ({facts.reason}){again_too}{quoted(facts.log_tail)}"
    remedies = {**REMEDIES, **OF_A_CLIENT} if facts.client else REMEDIES
    remedy = remedies.get(reason) if certain is None else MEND
    if remedy is None:
        return cause[:MESSAGE_MAX]
    end = f". Remedy: {remedy}"
    return cause[: MESSAGE_MAX - len(end)].rstrip(". ") + end


def quoted(log_tail: str) -> str:
    """The last line of a log as the end of a sentence; of a line of JSON the text in it, not its last characters.

    A line of our agents' logs without a text is represented by its event.
    """
    words = log_tail.strip().rpartition("\n")[2].strip()
    if words.endswith(("}", "]", ",")) and (texts := _TEXTS.findall(words) or _EVENT.findall(words)):
        words = " ".join(texts[-1].replace('\\"', '"').replace("\\n", " ").split())
        return f"; last output: {words[:QUOTED_MAX]}"
    return f"; last output: {words[-QUOTED_MAX:]}" if words else ""


def proposed(session: str, reported: Reported, experiments: Iterable[ResearchExperiment]) -> bool:
    """Whether the session proposed anything."""
    return (
        session in reported.proposed
        or any(one.session == session for one in reported.directions)
        or any(session in (one.session, one.checked_by) for one in reported.findings)
        or any(one.spec.session == session for one in experiments)
    )
