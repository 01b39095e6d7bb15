"""One call of a session: who makes it, what it asks, what is set aside for it.

Made by `calls`, which lets it in and charges it; read by all that then work on it.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from rloop.api.iteration import SessionSpec
from rloop.api.researchloop import ResearchLoop
from rloop_operator.llm_proxy import dialects
from rloop_operator.llm_proxy.accounts import Account, Campaign
from rloop_operator.llm_proxy.dialects import Dialect
from rloop_operator.llm_proxy.providers import ModelSettings, Provider
from rloop_operator.llm_proxy.usage import NOTHING, Amount, Tokens
from rloop_operator.ports import Caller


@dataclass(frozen=True, slots=True)
class Session:
    """Who calls, and what holds for it."""

    caller: Caller
    loop: ResearchLoop
    spec: SessionSpec
    campaign: Campaign
    account: Account
    farewell: bool = False
    """It has called finish; this call is let through so that its client can end in order."""


@dataclass(slots=True)
class Call:
    """A call that was let in, with what is reserved for it."""

    session: Session
    provider: Provider
    models: list[ModelSettings]
    """The one that was asked for, then its fallbacks."""
    dialect: Dialect
    content: bytes
    """The request as it came."""
    original: dict[str, Any]
    request: dict[str, Any]
    """The same, so that a stream counts its tokens."""
    estimate: Tokens
    """What the call takes, and then some."""
    reserved: Amount = NOTHING
    worst: Amount = NOTHING
    """What it can take at the very most."""
    limit: int | None = None
    """Of each answer's tokens; None: neither asked for nor known."""
    asking: ModelSettings | None = None
    """The model that is being asked at this moment."""
    began: float = field(default_factory=time.monotonic)

    @property
    def asked(self) -> int | None:
        """What the client itself has set as that limit."""
        return dialects.asked_output(self.dialect, self.original)

    @property
    def drops_usage(self) -> bool:
        """The client did not ask for the event that counts a stream's tokens."""
        return self.request is not self.original

    @property
    def limit_is_ours(self) -> bool:
        """The request holds a limit that the client did not name."""
        return self.limit is not None and self.asked is None

    @property
    def streams(self) -> bool:
        return self.request.get("stream") is True

    def body(self, model: ModelSettings, *, other_field: bool = False) -> bytes:
        """The request as that model gets it."""
        request = self.request
        if request.get("model") != model.name:
            request = {**request, "model": model.name}
        limit = self.limit
        if limit is not None and model.max_output_tokens is not None:
            limit = min(limit, model.max_output_tokens)
        if limit is not None and limit != self.asked:
            request = dialects.limited(self.dialect, request, limit, other_field=other_field)
        return self.content if request is self.original else json.dumps(request, separators=(",", ":")).encode()
