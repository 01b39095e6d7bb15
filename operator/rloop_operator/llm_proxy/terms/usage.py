"""Tokens and cost of a call, estimated before it and counted after it: pure arithmetic.

Called by `reservations`, `caps` and `accounts`. Costs are exact, in the currency of the provider's prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Self

from rloop_operator.llm_proxy.terms.providers import ModelSettings, Prices

BYTES_PER_TOKEN = 3
"""Bytes of a request, including its JSON, per token. Text has about four, so the estimate is rather too high."""
UNKNOWN_OUTPUT = 8192
"""Tokens reserved for an answer that neither the request nor the configuration limits."""
LONGEST_OUTPUT = 131_072
"""Upper bound for such an answer: no known model writes more."""
SMALLEST_OUTPUT = 16
"""Minimum tokens for an answer; a call for which fewer are left is denied."""
MILLION = 1_000_000
SMALLEST_COST = Decimal("1e-9")


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of one call."""

    input: int = 0
    cached: int = 0
    """Part of the input."""
    output: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output

    def __add__(self, other: Self) -> Self:
        return type(self)(self.input + other.input, self.cached + other.cached, self.output + other.output)


@dataclass(frozen=True, slots=True)
class Amount:
    """Tokens and their cost; the cost is 0 if no price is known."""

    tokens: int = 0
    cost: Decimal = Decimal(0)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.tokens - other.tokens, self.cost - other.cost)

    def most(self, other: Self) -> Self:
        """The maximum of each component."""
        return type(self)(max(self.tokens, other.tokens), max(self.cost, other.cost))

    def exceeds(self, other: Self) -> bool:
        """Whether either component is larger."""
        return self.tokens > other.tokens or self.cost > other.cost


NO_TOKENS = Tokens()
NOTHING = Amount()


def cost(tokens: Tokens, prices: Prices | None) -> Decimal:
    """Cost of the tokens; 0 if the prices are unknown."""
    if prices is None:
        return Decimal(0)
    cached = prices.input if prices.cached_input is None else prices.cached_input
    fresh = (tokens.input - tokens.cached) * Decimal(prices.input)
    return (fresh + tokens.cached * Decimal(cached) + tokens.output * Decimal(prices.output)) / MILLION


def estimated_input(size: int, model: ModelSettings) -> int:
    """Estimated tokens of a request of `size` bytes, at most what the model can read."""
    tokens = -(-size // BYTES_PER_TOKEN)
    return tokens if model.context_tokens is None else min(tokens, model.context_tokens)


def output_wanted(asked: int | None, input_tokens: int, model: ModelSettings) -> int | None:
    """Maximum tokens of an answer that the model can give to this request; None if unlimited."""
    most = model.max_output_tokens
    if asked is not None:
        return asked if most is None else min(asked, most)
    if most is not None and model.context_tokens is not None:
        return min(most, max(SMALLEST_OUTPUT, model.context_tokens - input_tokens))
    return most


def affordable_output(
    left_tokens: int | None, left_cost: Decimal | None, input_tokens: int, prices: Prices | None
) -> int:
    """Tokens of an answer that can be paid after the input. None for what is left means not limited."""
    found = [MILLION**2]
    if left_tokens is not None:
        found.append(left_tokens - input_tokens)
    if left_cost is not None and prices is not None:
        rest = left_cost - cost(Tokens(input=input_tokens), prices)
        price = Decimal(prices.output)
        found.append(-1 if rest < 0 else int(rest * MILLION / price) if price else MILLION**2)
    return min(found)


def decimal_text(amount: Decimal) -> str:
    """The amount as it is stored in a status: plain digits, rounded up to a billionth."""
    rounded = amount.quantize(SMALLEST_COST, rounding=ROUND_UP)
    return f"{rounded.normalize():f}" if rounded else "0"
