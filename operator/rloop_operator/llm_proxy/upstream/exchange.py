"""One attempt of a call with one model: the HTTP request, and the meaning of its outcome.

Called by `retries`, which decides about retries. Only the provider's headers in PASSED_BACK reach the client, and only
the client's headers in `allowed.headers` reach the provider.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from rloop.api.iteration import CallFailure
from rloop_operator.llm_proxy.accounting.call import Call
from rloop_operator.llm_proxy.dialects import error_bodies, odd_answers
from rloop_operator.llm_proxy.dialects.apis import answered_by, is_answer, tokens_of
from rloop_operator.llm_proxy.terms.denied import Code, Denied
from rloop_operator.llm_proxy.terms.keys import KeyMissing, Redactor
from rloop_operator.llm_proxy.terms.providers import ModelSettings, Provider
from rloop_operator.llm_proxy.terms.usage import Tokens
from rloop_operator.llm_proxy.upstream import answers
from rloop_operator.llm_proxy.upstream.answers import Malformed

PASSED_BACK = ("content-type", "x-request-id", "request-id")
REFUSED = (401, 402, 403)
AGAIN = (408, 425, 429)
NEVER_ASKED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.WriteError)
SHOWN = 300
"""Characters of a provider's own message that are quoted."""


class Failed(Exception):
    """An attempt failed and may be retried. Clients never see this error itself."""

    def __init__(
        self,
        why: str,
        *,
        lost: bool = False,
        retry_after: float | None = None,
        busy: bool = False,
        code: Code = "provider_down",
    ) -> None:
        super().__init__(why)
        self.why = why
        self.lost = lost
        """The request was sent and may have been billed."""
        self.retry_after = retry_after
        self.busy = busy
        """The provider is healthy, but asks for fewer requests."""
        self.code: Code = code
        """provider_malformed: a retry would not get a better answer."""


@dataclass(slots=True)
class Answer:
    """A provider's response: a complete body, or a stream that has begun."""

    model: ModelSettings
    status: int
    headers: Mapping[str, str]
    response: httpx.Response
    content: bytes = b""
    """The body, if it is not a stream."""
    head: list[bytes] = field(default_factory=list)
    """The events of a stream that were read already."""
    rest: AsyncGenerator[bytes, None] | None = None
    """The events of a stream that follow."""
    tokens: Tokens | None = None
    """Tokens reported by a body."""
    answered_by: str | None = None
    """The model that a body names."""
    failure: CallFailure | None = None
    """Why it is not a usable answer."""

    @property
    def good(self) -> bool:
        return self.status == 200

    async def close(self) -> None:
        """Release the connection; aborts the call if more of a stream would follow."""
        if self.rest is not None:
            await self.rest.aclose()
        await self.response.aclose()


async def attempt(
    client: httpx.AsyncClient,
    redactor: Redactor,
    call: Call,
    model: ModelSettings,
    path: str,
    headers: Mapping[str, str],
    deadline: float,
    *,
    other_field: bool,
) -> Answer:
    """The response, which may be one that rejects the request as invalid. Raises Failed, Denied."""
    provider = call.provider
    request = client.build_request(
        "POST",
        f"{provider.url}{path}",
        content=call.body(model, other_field=other_field),
        headers=_headers(provider, redactor, headers),
    )
    response: httpx.Response | None = None
    answer: Answer | None = None
    first = deadline
    if call.streams:
        first = min(deadline, time.monotonic() + provider.retry.first_token_seconds)
    try:
        async with asyncio.timeout_at(deadline):
            async with asyncio.timeout_at(first):
                response = await client.send(request, stream=True)
            answer = await _read(response, redactor, call, model, first, deadline)
            return answer
    except NEVER_ASKED as error:
        raise Failed(f"no connection to {call.provider.url}: {_words(error)}") from error
    except httpx.DecodingError as error:
        raise Failed("the response cannot be decoded", lost=True, code="provider_malformed") from error
    except httpx.HTTPError as error:
        raise Failed(f"the connection broke: {_words(error)}", lost=True) from error
    except TimeoutError as error:
        limit = f"no token within {provider.retry.first_token_seconds} s (retry.firstTokenSeconds)"
        limit = limit if call.streams else f"no data for {provider.retry.idle_seconds} s (retry.idleSeconds)"
        why = limit if time.monotonic() < deadline else "no response in time (retry.totalSeconds)"
        raise Failed(why, lost=True) from error
    except Malformed as error:
        raise Failed(str(error), lost=True, code="provider_malformed") from error
    finally:
        if response is not None and (answer is None or answer.rest is None):
            await response.aclose()


async def _read(
    response: httpx.Response, redactor: Redactor, call: Call, model: ModelSettings, first: float, deadline: float
) -> Answer:
    idle = call.provider.retry.idle_seconds
    kind = response.headers.get("content-type", "")
    back = {name: response.headers.get(name, "") for name in PASSED_BACK}
    headers = {name: value for name, value in back.items() if value and value.isascii()}
    answer = Answer(model, response.status_code, headers, response)
    if answer.good and call.streams:
        if "text/event-stream" not in kind:
            raise Malformed(f"a stream was requested, but the response is {kind or 'no content-type'}")
        rest = answers.events(response.aiter_bytes(), idle, first, deadline)
        async for event in rest:
            answer.head.append(event)
            if answers.is_content(event):
                _judge_first(event)
                answer.rest = rest
                return answer
        raise Failed("the stream ended before its first event", lost=True)
    answer.content = await answers.body(response.aiter_bytes(), idle)
    if not answer.good:
        error = odd_answers.error_of(_document(answer.content)) or odd_answers.Said("", "", _said(answer.content))
        _judge(answer, error, redactor, call)
        answer.failure = error.failure(f"HTTP {answer.status}")
        answer.content = _in_shape(answer, call)
        answer.content = redactor.text(answer.content.decode(errors="replace")).encode()
        return answer
    document = answers.parsed(answer.content)
    if not is_answer(call.dialect, document):
        raise Malformed(
            f"the response does not belong to this API; check the URL {response.url}: most providers' URLs end with /v1"
        )
    answer.tokens, answer.answered_by = tokens_of(document), answered_by(document)
    if not call.dialect.free and not odd_answers.says_something(call.dialect, document):
        answer.failure = odd_answers.EMPTY
    return answer


def _judge_first(event: bytes) -> None:
    """Raise Failed if a stream begins with a temporary error: it cost nothing and is retried like an HTTP error."""
    said = odd_answers.error_of(answers.data_of(event))
    if said is not None and not said.permanent:
        raise Failed(f"the stream begins with an error: {said.message[:SHOWN]}", busy=said.busy)


def _judge(answer: Answer, error: odd_answers.Said, redactor: Redactor, call: Call) -> None:
    """Classify an error response. Returns if the request itself is at fault. Raises Failed, Denied."""
    status, name = answer.status, call.provider.name
    said = redactor.text(_said(answer.content))[:SHOWN]
    told = f"HTTP {status}{': ' if said else ''}{said}"
    if error.unpaid:
        remedy = "ask the administrator to pay for more, or to raise its limit"
        raise Denied("provider_refused", f'provider "{name}" has no credit left: {told}; {remedy}')
    if status in AGAIN or (status >= 500 and status != 501):
        after = _retry_after(answer.response.headers.get("retry-after"))
        raise Failed(told, retry_after=after, busy=status == 429)
    # If a call of the session was answered, key and model are valid: then a 403 or 404 is about this request or route,
    # and the session need not wait.
    first = call.session.account.calls == 0 and not call.dialect.free
    if status in REFUSED and (status != HTTPStatus.FORBIDDEN or first):
        if call.provider.key_file is None and call.provider.key_env is None:
            remedy = "no key is configured (keyFile, keyEnv, or RLOOP_LLM_KEY)"
            raise Denied("provider_refused", f'provider "{name}" requires a key: {told}; {remedy}')
        raise Denied(
            "provider_refused", f'provider "{name}" rejects the key: {told}; ask the administrator to check it'
        )
    if status < 400 or not _is_error(answer.content):
        raise Failed(f"{told}; check its url", code="provider_malformed")
    if first and (status == HTTPStatus.NOT_FOUND or error.no_model):
        remedy = "correct spec.agent.llm.model, or the provider's url: most end with /v1"
        asked = f'no "{answer.model.name}" at {answer.response.url}'
        raise Denied("model_unknown", f'provider "{name}" knows {asked}: {told}; {remedy}')


def _in_shape(answer: Answer, call: Call) -> bytes:
    """The error's body in the form that clients of this dialect expect."""
    said = _said(answer.content)
    made = error_bodies.in_shape(call.dialect, answers.parsed(answer.content), answer.status, said)
    if made is None:
        return answer.content
    answer.headers = {**answer.headers, "content-type": "application/json"}
    return json.dumps(made).encode()


def _headers(provider: Provider, redactor: Redactor, client: Mapping[str, str]) -> dict[str, str]:
    made = dict(client)
    made |= {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "rloop-proxy"}
    try:
        key = redactor.key_of(provider)
    except KeyMissing as error:
        raise Denied("provider_refused", f'the key of provider "{provider.name}" is missing: {error}') from error
    if key is not None:
        made |= {"x-api-key": key} if provider.auth == "XApiKey" else {"authorization": f"Bearer {key}"}
    return made


def _document(content: bytes) -> object:
    """The parsed body; None if it is not JSON."""
    try:
        return answers.parsed(content)
    except Malformed:
        return None


def _is_error(content: bytes) -> bool:
    """Whether the body is an error as these APIs send it: a JSON object, not a web page."""
    return isinstance(_document(content), dict)


def _said(content: bytes) -> str:
    """The error message in a body."""
    try:
        document: Any = answers.parsed(content)
    except Malformed:
        return " ".join(content[:SHOWN].decode(errors="replace").split())
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    return " ".join(str(error).split())


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait: the header's number, or the time until its date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
