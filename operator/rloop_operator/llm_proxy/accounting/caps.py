"""Caps on calls: what is left under each cap, and how long an answer may be as a result.

Called by `reservations`. A request's tokens are only estimated, so concurrent calls could each exceed a cap slightly.
If the upper bounds of all calls would not fit, a call waits until it is the only one; so at most one call exceeds a
cap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal

from rloop_operator.llm_proxy.accounting.call import Call, Session
from rloop_operator.llm_proxy.dialects.apis import answers
from rloop_operator.llm_proxy.terms.denied import Code, Denied
from rloop_operator.llm_proxy.terms.providers import Provider
from rloop_operator.llm_proxy.terms.usage import (
    LONGEST_OUTPUT,
    NOTHING,
    SMALLEST_OUTPUT,
    UNKNOWN_OUTPUT,
    Amount,
    Tokens,
    affordable_output,
    cost,
    decimal_text,
    output_wanted,
)

FAREWELL_OUTPUT = 2048
"""Maximum tokens of an answer after finish: a client sums up what it did, and ends."""


@dataclass(frozen=True, slots=True)
class Cap:
    """One cap, and what is used of it."""

    code: Code
    """Code of the denial."""
    tokens: int | None
    cost: Decimal | None
    spent: Amount
    reserved: Amount
    """Estimated use of the calls in progress."""
    worst: Amount
    """Upper bound of their use."""

    @property
    def left(self) -> tuple[int | None, Decimal | None]:
        """Tokens and cost that are left; None: not limited."""
        used = self.spent + self.reserved
        return (
            None if self.tokens is None else self.tokens - used.tokens,
            None if self.cost is None else self.cost - used.cost,
        )

    def fits(self, worst: Amount) -> bool:
        """Whether the cap holds even if all calls use their upper bounds."""
        most = self.spent + self.worst + worst
        return (self.tokens is None or most.tokens <= self.tokens) and (self.cost is None or most.cost <= self.cost)


def caps(session: Session, provider: Provider) -> list[Cap]:
    """The caps of the session, of the campaign, and of the campaign's last hour with the provider."""
    limits, budget = provider.limits, session.loop.spec.budget
    account, campaign = session.account, session.campaign
    sessions = campaign.sessions.values()
    under_way = campaign.under_way.get(provider.name, (NOTHING, NOTHING))
    own = min(one for one in (session.spec.max_tokens, limits.tokens_per_session) if one is not None)
    return [
        Cap("session_spent", own, _money(limits.cost_per_session), account.spent, account.reserved, account.worst),
        Cap(
            "budget_spent",
            budget.tokens,
            _money(budget.cost),
            sum((one.spent for one in sessions), NOTHING),
            sum((one.reserved for one in sessions), NOTHING),
            sum((one.worst for one in sessions), NOTHING),
        ),
        Cap(
            "hour_cap",
            limits.tokens_per_hour,
            _money(limits.cost_per_hour),
            campaign.hour(provider.name, time.monotonic()),
            *under_way,
        ),
    ]


def bound(call: Call) -> list[Cap] | None:
    """Limit the answer to what every cap leaves, and return the caps. None: it must wait for others. Raises Denied."""
    model, number, question = call.models[0], answers(call.request), call.estimate.input
    wanted = output_wanted(call.asked, question, model)
    if call.session.farewell:
        wanted = min(wanted or FAREWELL_OUTPUT, FAREWELL_OUTPUT)
    output, longest = (UNKNOWN_OUTPUT, LONGEST_OUTPUT) if wanted is None else (wanted, wanted)
    # Upper bound: every token has at least one byte.
    worst = amount(call, Tokens(input=len(call.content), output=longest * number))
    held = caps(call.session, call.provider)
    for cap in held:
        if cap.fits(worst):
            continue
        if cap.reserved != NOTHING:
            return None
        tokens, money = cap.left
        most = min(affordable_output(tokens, money, question, one.prices) for one in call.models) // number
        if most < min(SMALLEST_OUTPUT, output):
            least = amount(call, Tokens(input=question, output=min(SMALLEST_OUTPUT, output) * number))
            if call.session.account.calls == 0 and (field := _too_small(call, least)) is not None:
                price = f", which cost {decimal_text(least.cost)}" if least.cost else ""
                raise Denied(
                    "cap_too_small", f"a first call needs at least {least.tokens} tokens{price}: raise {field}"
                )
            raise Denied(
                cap.code,
                _told(cap.code, call),
                retry_after=_frees_after(cap.code, call),
                least=least if _of_the_budget(cap, call, least) else None,
            )
        if most < output:
            wanted = output = longest = most
    call.limit = wanted
    call.estimate = Tokens(input=question, output=output * number)
    call.worst = amount(call, Tokens(input=len(call.content), output=longest * number))
    return held


def amount(call: Call, tokens: Tokens) -> Amount:
    """The tokens, with their cost at the most expensive of the call's models."""
    return Amount(tokens.total, max(cost(tokens, one.prices) for one in call.models))


def half_left(call: Call, held: list[Cap], tokens: int) -> Amount:
    """These tokens, but at most half of what the call leaves of the caps that `bound` returned: a mere reservation must
    not end a campaign.
    """
    for cap in held:
        left = replace(cap, reserved=cap.reserved + call.reserved).left
        tokens = min(tokens, affordable_output(*left, 0, call.models[0].prices) // 2)
    return amount(call, Tokens(output=max(0, tokens)))


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _frees_after(code: Code, call: Call) -> float | None:
    if code != "hour_cap":
        return None
    return call.session.campaign.hours[call.provider.name].frees_after(time.monotonic())


def _too_small(call: Call, least: Amount) -> str | None:
    """A cap, other than the budget, that is too small for any call of this size; None if all are large enough."""
    agent, limits = call.session.loop.spec.agent, call.provider.limits
    of_provider = f' of provider "{call.provider.name}"'
    for field, tokens, money in (
        ("spec.agent.llm.maxTokensPerSession", agent.session_tokens or None, None),
        (f"limits.tokensPerSession{of_provider}", limits.tokens_per_session, None),
        (f"limits.costPerSession{of_provider}", None, _money(limits.cost_per_session)),
        (f"limits.tokensPerHour{of_provider}", limits.tokens_per_hour, None),
        (f"limits.costPerHour{of_provider}", None, _money(limits.cost_per_hour)),
    ):
        if (tokens is not None and tokens < least.tokens) or (money is not None and money < least.cost):
            return f"{field}, which is {tokens if tokens is not None else money}"
    return None


def _of_the_budget(cap: Cap, call: Call, least: Amount) -> bool:
    """Whether the campaign's budget may be the cause: a session's own tokens can be its share of the rest."""
    if cap.code != "session_spent":
        return cap.code == "budget_spent"
    return call.session.spec.max_tokens - cap.spent.tokens < least.tokens


def _told(code: Code, call: Call) -> str:
    if code == "session_spent":
        return "the token limit of this session is used up: hand off and finish"
    if code == "budget_spent":
        return "the campaign's budget of tokens or cost is used up: hand off and finish"
    return f'the hourly limit of this campaign with provider "{call.provider.name}" is used up'
