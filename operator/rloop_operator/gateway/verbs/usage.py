"""The verb that reports the tokens of a session whose model does not go through the LLM proxy.

Called by `gateway.verbs.service`. Such a report is the agent's own word: it makes `budget.tokens` useful for a client
with its own login, and protects against nothing that an agent might want to hide (docs/adr/0031).
"""

from __future__ import annotations

from rloop.api.iteration import CallFailure, ResearchIteration, SessionUsage
from rloop.api.wire import UsageReply, UsageReport
from rloop.errors import Refused
from rloop_operator.gateway.verbs.caller_view import CallerView, until_written
from rloop_operator.ports import Caller

COUNTED = "the LLM proxy counts the tokens of this session: do not report them"
SPENT = "the tokens of the campaign are used up (spec.budget.tokens)"


async def report(view: CallerView, caller: Caller, request: UsageReport) -> UsageReply:
    """Store the totals of the session. A report never lowers them, so that it may be repeated. Raises Refused."""

    async def attempt() -> UsageReply | None:
        situation = await view.situation(caller)
        agent, budget = situation.loop.spec.agent, situation.loop.spec.budget
        if agent.llm is not None or agent.searcher is not None:
            raise Refused("CountedByProxy", COUNTED)
        reported = situation.iteration.status.reported
        others = [one for one in reported.usage if one.session != caller.session]
        before = next((one for one in reported.usage if one.session == caller.session), None)
        now = _highest(before or SessionUsage(session=caller.session), request)
        left = None
        if budget.tokens is not None:
            left = max(0, budget.tokens - await _spent(view, caller) - _tokens(now))
            if left == 0:
                now = now.changed(failure=CallFailure(reason="BudgetSpent", message=SPENT))
        if now == before or await view.report(situation.iteration, reported.changed(usage=[*others, now])):
            return UsageReply(
                input_tokens=now.input_tokens,
                cached_tokens=now.cached_tokens,
                output_tokens=now.output_tokens,
                tokens_left=left,
            )
        return None

    return await until_written(attempt)


def _highest(before: SessionUsage, request: UsageReport) -> SessionUsage:
    return before.changed(
        input_tokens=max(before.input_tokens, request.input_tokens),
        cached_tokens=max(before.cached_tokens, request.cached_tokens),
        output_tokens=max(before.output_tokens, request.output_tokens),
    )


async def _spent(view: CallerView, caller: Caller) -> int:
    """Tokens of all other sessions of the campaign, also of those that the caller may not see."""
    iterations = await view.store.list(ResearchIteration, caller.loop)
    usages = [one for it in iterations for one in it.status.reported.usage if one.session != caller.session]
    return sum(map(_tokens, usages))


def _tokens(usage: SessionUsage) -> int:
    return usage.input_tokens + usage.output_tokens
