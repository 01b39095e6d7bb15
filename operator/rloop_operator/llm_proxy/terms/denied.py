"""Why a call is denied: the codes of the proxy's errors, their HTTP status, and the reason why a session waits.

Raised by the parts of the proxy; `app` turns it into a response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rloop.errors import Refused
from rloop_operator.llm_proxy.terms.usage import Amount

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
    """The meaning of a code for HTTP and for the campaign."""

    status: int
    waiting: str | None = None
    """The reason why the session waits; None: it does not wait."""


# 424: the provider failed. Unlike after a 5xx, the clients of OpenAI and Anthropic do not retry.
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
    "provider_refused": Meaning(424, "ProviderRefused"),
    "provider_malformed": Meaning(424, "ProviderDown"),
    "malformed": Meaning(400),
    "too_large": Meaning(413),
    "closed": Meaning(403),  # a client of OpenAI or Anthropic would retry a 409 for minutes
}


class Denied(Refused):
    """A call is denied."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after: float | None = None,
        blames_agent: bool = False,
        least: Amount | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code: Code = code
        self.status = MEANINGS[code].status
        self.retry_after = retry_after
        """Seconds after which a retry makes sense; None: it does not."""
        self.least = least
        """Minimum that the call would have used; set if the campaign's budget may be too small for it."""
        self.param = param
        """The field of the request that is at fault."""
        self.waiting = None if blames_agent else MEANINGS[code].waiting
