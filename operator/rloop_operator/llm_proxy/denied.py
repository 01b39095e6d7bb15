"""Why a call gets no answer: the codes of the proxy's errors, and what a session that waits for it says of itself.

Raised by the parts of the proxy, answered by `app`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rloop.errors import Refused
from rloop_operator.llm_proxy.usage import Amount

Code = Literal[
    "unauthorized",
    "provider_forbidden",
    "provider_unknown",
    "model_unknown",
    "price_unknown",
    "session_spent",
    "budget_spent",
    "hour_cap",
    "cap_too_small",
    "provider_down",
    "provider_refused",
    "provider_malformed",
    "malformed",
    "too_large",
    "closed",
]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a code means to HTTP, and to the campaign."""

    status: int
    waiting: str | None = None
    """The reason for which the session waits; None: it is the agent's own affair."""


MEANINGS: dict[Code, Meaning] = {
    "unauthorized": Meaning(401),
    "provider_forbidden": Meaning(403, "ProviderUnknown"),
    "provider_unknown": Meaning(403, "ProviderUnknown"),
    "model_unknown": Meaning(404, "ModelUnknown"),
    "price_unknown": Meaning(403, "PriceUnknown"),
    "session_spent": Meaning(403),
    "budget_spent": Meaning(403),
    "hour_cap": Meaning(429, "HourCap"),
    "cap_too_small": Meaning(403, "CapTooSmall"),
    "provider_down": Meaning(503, "ProviderDown"),
    "provider_refused": Meaning(502, "ProviderRefused"),
    "provider_malformed": Meaning(502, "ProviderDown"),
    "malformed": Meaning(400),
    "too_large": Meaning(413),
    "closed": Meaning(403),  # a client of OpenAI or Anthropic would retry a 409 for minutes
}


class Denied(Refused):
    """A call gets no answer."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: float | None = None,
        blames_agent: bool = False,
        least: Amount | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code: Code = code
        self.status = MEANINGS[code].status
        self.retry_after = retry_after
        """Seconds after which it makes sense to ask again."""
        self.least = least
        """What the call would have taken at the least, where the campaign's budget may have too little left for it."""
        self.waiting = None if blames_agent else MEANINGS[code].waiting
