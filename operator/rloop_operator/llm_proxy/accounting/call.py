"""One call of a session: its caller, its request, and what is reserved for it.

Created by `reservations`, which admits and charges it; read by all modules that process it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rloop.api.iteration import SessionSpec
from rloop.api.researchloop import ResearchLoop
from rloop_operator.llm_proxy.accounting.accounts import Account, Campaign
from rloop_operator.llm_proxy.dialects import apis
from rloop_operator.llm_proxy.dialects.apis import Dialect
from rloop_operator.llm_proxy.dialects.request_check import serialised
from rloop_operator.llm_proxy.terms.providers import ModelSettings, Provider
from rloop_operator.llm_proxy.terms.usage import NOTHING, Amount, Tokens
from rloop_operator.ports import Caller


@dataclass(frozen=True, slots=True)
class Session:
    """The calling session, with its loop and its accounts."""

    caller: Caller
    loop: ResearchLoop
    spec: SessionSpec
    campaign: Campaign
    account: Account
    farewell: bool = False
    """The session has called finish. The call is still answered, so that its client can end normally."""


@dataclass(slots=True)
class Call:
    """An admitted call, with what is reserved for it."""

    session: Session
    provider: Provider
    models: list[ModelSettings]
    """The requested model, then its fallbacks."""
    dialect: Dialect
    content: bytes
    """The checked request, serialised."""
    original: dict[str, Any]
    """The checked request."""
    request: dict[str, Any]
    """The checked request, changed so that a stream reports its tokens."""
    estimate: Tokens
    """Estimated tokens of the call, rather too many than too few."""
    reserved: Amount = NOTHING
    worst: Amount = NOTHING
    """Upper bound of what the call can use."""
    limit: int | None = None
    """Maximum tokens of each answer; None: neither requested nor known."""
    left_out: list[str] = field(default_factory=list)
    """Names of parts of the client's request that the provider does not get."""
    asking: ModelSettings | None = None
    """The model that is being called now."""
    began: float = field(default_factory=time.monotonic)

    @property
    def asked(self) -> int | None:
        """Maximum tokens of an answer as set by the client; None if unset."""
        return apis.asked_output(self.dialect, self.original)

    @property
    def drops_usage(self) -> bool:
        """True if the client did not ask for the event that counts a stream's tokens."""
        return self.request is not self.original

    @property
    def limit_is_ours(self) -> bool:
        """True if the request contains a limit that the client did not set."""
        return self.limit is not None and self.asked is None

    @property
    def streams(self) -> bool:
        return self.request.get("stream") is True

    def body(self, model: ModelSettings, *, other_field: bool = False) -> bytes:
        """The request's bytes for this model."""
        request = self.request
        if request.get("model") != model.name:
            request = {**request, "model": model.name}
        limit = self.limit
        if limit is not None and model.max_output_tokens is not None:
            limit = min(limit, model.max_output_tokens)
        if limit is not None and limit != self.asked:
            request = apis.limited(self.dialect, request, limit, other_field=other_field)
        return self.content if request is self.original else serialised(request)
