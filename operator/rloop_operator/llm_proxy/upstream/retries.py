"""Calls providers: all retries, and the circuit breakers of failing endpoints.

Called by `app` with an admitted call. What was passed on to the client is never requested again: an attempt ends with
the complete body, or with the first event of a stream.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping

import httpx
import structlog

from rloop_operator.llm_proxy.accounting.call import Call
from rloop_operator.llm_proxy.accounting.reservations import Calls
from rloop_operator.llm_proxy.terms.denied import Denied
from rloop_operator.llm_proxy.terms.keys import Redactor
from rloop_operator.llm_proxy.terms.providers import ModelSettings
from rloop_operator.llm_proxy.upstream.breaker import Breaker, State
from rloop_operator.llm_proxy.upstream.exchange import Answer, Failed, attempt

log = structlog.get_logger("rloop.llm_proxy")
CONNECT_SECONDS = 10.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 20.0
TRIES_BEFORE_FALLBACK = 2
LOST_MAX = 2
"""Attempts of one call whose responses may be lost: each of them may have been billed."""
LAST_TRY_SECONDS = 60.0
"""Seconds after which no further attempt begins: an agent that gets the error reports that it waits."""
WAITING_SECONDS = 10.0
"""Seconds without an answer after which a call marks its session as waiting."""
RETRY_AFTER = 5.0
"""Seconds until a retry makes sense, if the provider does not say."""

Endpoint = tuple[str, str]
"""Names of a provider and of a model."""


class Upstream:
    """Calls providers, and tracks which endpoints fail."""

    def __init__(self, calls: Calls, redactor: Redactor) -> None:
        self._calls = calls
        self._redactor = redactor
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            follow_redirects=False,  # a redirect would send the key to another host
        )
        self._breakers: defaultdict[Endpoint, Breaker] = defaultdict(Breaker)
        self._other_field: set[Endpoint] = set()
        """Endpoints that accept only the other name of the field that limits an answer."""

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def states(self) -> dict[Endpoint, State]:
        """States of all circuit breakers."""
        now = time.monotonic()
        return {endpoint: breaker.state(now) for endpoint, breaker in self._breakers.items()}

    def broke(self, call: Call, model: ModelSettings, why: str) -> None:
        """Record that a stream was cut off."""
        self._breaker(call, model).failed(time.monotonic(), why)

    async def ask(self, call: Call, path: str, headers: Mapping[str, str]) -> Answer:
        """The first response of a model. Raises Denied. Attempts whose responses were lost are charged here."""
        began = time.monotonic()
        deadline = began + call.provider.retry.total_seconds
        tries: Counter[str] = Counter()
        losses = 0
        while True:
            ready = self._ready(call, tries)
            model = ready[0]
            tries[model.name] += 1
            try:
                return await self._once(call, model, path, headers, deadline)
            except Failed as failed:
                denied = _denied(call, model, failed)
                log.warning("llm_try_failed", provider=call.provider.name, model=model.name, detail=denied.message)
                losses += failed.lost
                if failed.lost:
                    self._calls.settle(call, model, None)
                pause = self._pause(call, tries, failed)
                hopeless = failed.code == "provider_malformed" or losses >= LOST_MAX
                since = time.monotonic() + pause - began
                if hopeless or since >= min(LAST_TRY_SECONDS, deadline - began):
                    raise denied from failed
                if since > WAITING_SECONDS:
                    await self._calls.wait(call.session, denied)
                await asyncio.sleep(pause)
                if failed.lost:
                    await self._calls.reserve(call)
                    if time.monotonic() >= deadline:
                        raise denied from failed

    async def _once(
        self, call: Call, model: ModelSettings, path: str, headers: Mapping[str, str], deadline: float
    ) -> Answer:
        breaker = self._breaker(call, model)
        endpoint = (call.provider.name, model.name)
        breaker.enter()
        call.asking = model
        try:
            answer = await self._attempt(call, model, path, headers, deadline)
            # Some of OpenAI's models reject the field that most others use, and name the one they expect.
            if answer.status == 400 and b"max_completion_tokens" in answer.content and call.limit_is_ours:
                self._other_field.add(endpoint)
                answer = await self._attempt(call, model, path, headers, deadline)
        except Failed as failed:
            call.asking = None
            if failed.busy:
                breaker.left()
            else:
                breaker.failed(time.monotonic(), failed.why)
            raise
        except BaseException:  # a refusal, which is a response, or a client that disconnected
            breaker.left()
            raise
        breaker.succeeded()
        return answer

    async def _attempt(
        self, call: Call, model: ModelSettings, path: str, headers: Mapping[str, str], deadline: float
    ) -> Answer:
        other = (call.provider.name, model.name) in self._other_field
        return await attempt(self._client, self._redactor, call, model, path, headers, deadline, other_field=other)

    def _breaker(self, call: Call, model: ModelSettings) -> Breaker:
        return self._breakers[call.provider.name, model.name]

    def _ready(self, call: Call, tries: Counter[str]) -> list[ModelSettings]:
        """Models that may be called now, the best first. Raises Denied if no model may be called."""
        now = time.monotonic()
        waits = {model.name: self._breaker(call, model).wait(now) for model in call.models}
        ready = [model for model in call.models if not waits[model.name]]
        if not ready:
            why = self._breaker(call, call.models[0]).why
            told = f'provider "{call.provider.name}" ({call.models[0].name}) does not respond: {why}'
            raise Denied("provider_down", told, retry_after=max(1.0, min(waits.values())))
        return sorted(ready, key=lambda model: tries[model.name] // TRIES_BEFORE_FALLBACK)

    def _pause(self, call: Call, tries: Counter[str], failed: Failed) -> float:
        """Seconds before the next attempt: 0 for another model, else a random backoff, or the provider's, if longer."""
        if tries[self._ready(call, tries)[0].name] == 0:
            return 0.0
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries.total() - 1))
        return max(random.uniform(0, longest), failed.retry_after or 0.0)


def _denied(call: Call, model: ModelSettings, failed: Failed) -> Denied:
    """The error for the agent if there is no further attempt."""
    says = "does not respond" if failed.code == "provider_down" else "gives no valid response"
    told = f'provider "{call.provider.name}" ({model.name}) {says}: {failed.why}'
    after = None if failed.code == "provider_malformed" else max(1.0, failed.retry_after or RETRY_AFTER)
    return Denied(failed.code, told, retry_after=after)
