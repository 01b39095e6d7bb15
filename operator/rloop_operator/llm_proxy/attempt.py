"""One try of a call at one model: HTTP, and what its outcome means.

Called by `upstream`, which decides whether there is another. Nothing of a key or a header of the client's own passes
in either direction, but for what the tables below name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from rloop.api.iteration import CallFailure
from rloop_operator.llm_proxy import answers, odd_answers
from rloop_operator.llm_proxy.answers import Malformed
from rloop_operator.llm_proxy.call import Call
from rloop_operator.llm_proxy.denied import Code, Denied
from rloop_operator.llm_proxy.dialects import answered_by, is_answer, tokens_of
from rloop_operator.llm_proxy.keys import KeyMissing, Redactor
from rloop_operator.llm_proxy.providers import ModelSettings, Provider
from rloop_operator.llm_proxy.usage import Tokens

PASSED_ON = ("anthropic-version", "anthropic-beta", "openai-beta")
PASSED_BACK = ("content-type", "x-request-id", "request-id")
REFUSED = (401, 402, 403)
AGAIN = (408, 425, 429)
NEVER_ASKED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.WriteError)
SHOWN = 300
"""Characters of a provider's own words."""


class Failed(Exception):
    """A try that came to nothing; not answered to anybody as it is."""

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
        """It was asked, and may have been billed."""
        self.retry_after = retry_after
        self.busy = busy
        """It lives, and wants to be asked less."""
        self.code: Code = code
        """provider_malformed: the next try would be answered no better."""


@dataclass(slots=True)
class Answer:
    """What a provider answered: a whole body, or a stream that has begun."""

    model: ModelSettings
    status: int
    headers: Mapping[str, str]
    response: httpx.Response
    content: bytes = b""
    """The body."""
    head: list[bytes] = field(default_factory=list)
    """Of a stream: the events that were read."""
    rest: AsyncGenerator[bytes, None] | None = None
    """Of a stream: the events to come."""
    tokens: Tokens | None = None
    """Of a body, if it says."""
    answered_by: str | None = None
    """Of a body: the model that it names."""
    failure: CallFailure | None = None
    """Why it is no usable answer."""

    @property
    def good(self) -> bool:
        return self.status == 200

    async def close(self) -> None:
        """Give the connection back, or end the call where there is more to come."""
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
    """The answer, also one that says that the request is wrong. Raises Failed, Denied."""
    provider = call.provider
    request = client.build_request(
        "POST",
        f"{provider.url}{path}",
        content=call.body(model, other_field=other_field),
        headers=_headers(provider, redactor, headers),
    )
    response: httpx.Response | None = None
    answer: Answer | None = None
    try:
        async with asyncio.timeout_at(deadline):
            response = await client.send(request, stream=True)
            answer = await _read(response, redactor, call, model, deadline)
            return answer
    except NEVER_ASKED as error:
        raise Failed(f"no connection to {call.provider.url}: {_words(error)}") from error
    except httpx.DecodingError as error:
        raise Failed("its answer cannot be decoded", lost=True, code="provider_malformed") from error
    except httpx.HTTPError as error:
        raise Failed(f"the connection broke: {_words(error)}", lost=True) from error
    except TimeoutError as error:
        silent = time.monotonic() < deadline
        why = f"it was silent for {provider.retry.idle_seconds} s" if silent else "no answer in time"
        raise Failed(why, lost=True) from error
    except Malformed as error:
        raise Failed(str(error), lost=True, code="provider_malformed") from error
    finally:
        if response is not None and (answer is None or answer.rest is None):
            await response.aclose()


async def _read(
    response: httpx.Response, redactor: Redactor, call: Call, model: ModelSettings, deadline: float
) -> Answer:
    idle = call.provider.retry.idle_seconds
    kind = response.headers.get("content-type", "")
    headers = {name: response.headers[name] for name in PASSED_BACK if name in response.headers}
    answer = Answer(model, response.status_code, headers, response)
    if answer.good and call.streams:
        if "text/event-stream" not in kind:
            raise Malformed(f"a stream was asked for, and it answers with {kind or 'no content-type'}")
        rest = answers.events(response.aiter_bytes(), idle, deadline)
        async for event in rest:
            answer.head.append(event)
            if answers.is_content(event):
                _judge_first(event)
                answer.rest = rest
                return answer
        raise Failed("its stream ended before it began", lost=True)
    answer.content = await answers.body(response.aiter_bytes(), idle)
    if not answer.good:
        _judge(answer, redactor, call)
        said = odd_answers.error_of(answers.parsed(answer.content)) or odd_answers.Said("", "", _said(answer.content))
        answer.failure = said.failure(f"HTTP {answer.status}")
        answer.content = redactor.text(answer.content.decode(errors="replace")).encode()
        return answer
    document = answers.parsed(answer.content)
    if not is_answer(call.dialect, document):
        raise Malformed(
            f"its answer is not one of this API; is {response.url} where it is? Most providers' urls end with /v1"
        )
    answer.tokens, answer.answered_by = tokens_of(document), answered_by(document)
    if not call.dialect.free and not odd_answers.says_something(call.dialect, document):
        answer.failure = odd_answers.EMPTY
    return answer


def _judge_first(event: bytes) -> None:
    """A stream that begins with an error is no answer, and costs nothing: as an error of HTTP it is tried again."""
    said = odd_answers.error_of(answers.data_of(event))
    if said is not None and not said.permanent:
        raise Failed(f"its stream begins with an error: {said.message[:SHOWN]}", busy=said.busy)


def _judge(answer: Answer, redactor: Redactor, call: Call) -> None:
    """Of an answer that is an error. Returns if the request itself is to blame. Raises Failed, Denied."""
    status, name = answer.status, call.provider.name
    said = redactor.text(_said(answer.content))[:SHOWN]
    told = f"HTTP {status}{': ' if said else ''}{said}"
    if status in AGAIN or (status >= 500 and status != 501):
        after = _retry_after(answer.response.headers.get("retry-after"))
        raise Failed(told, retry_after=after, busy=status == 429)
    # What was answered before is not unknown or forbidden: it is the request or the route, and no reason to wait.
    first = call.session.account.calls == 0 and not call.dialect.free
    if status in REFUSED and (status != HTTPStatus.FORBIDDEN or first):
        if call.provider.key_file is None and call.provider.key_env is None:
            remedy = "none is configured (keyFile, keyEnv, or RLOOP_LLM_KEY)"
            raise Denied("provider_refused", f'provider "{name}" wants a key: {told}; {remedy}')
        raise Denied("provider_refused", f'provider "{name}" refuses the key: {told}; let its key be checked')
    if status < 400 or not _is_error(answer.content):
        raise Failed(f"{told}; is its url right?", code="provider_malformed")
    if status == HTTPStatus.NOT_FOUND and first:
        remedy = "correct spec.agent.llm.model, or the provider's url: most end with /v1"
        asked = f'no "{answer.model.name}" at {answer.response.url}'
        raise Denied("model_unknown", f'provider "{name}" knows {asked}: {told}; {remedy}')


def _headers(provider: Provider, redactor: Redactor, client: Mapping[str, str]) -> dict[str, str]:
    made = {name: client[name] for name in PASSED_ON if name in client}
    made |= {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "rloop-proxy"}
    try:
        key = redactor.key_of(provider)
    except KeyMissing as error:
        raise Denied("provider_refused", f'the key of provider "{provider.name}" is missing: {error}') from error
    if key is not None:
        made |= {"x-api-key": key} if provider.auth == "XApiKey" else {"authorization": f"Bearer {key}"}
    return made


def _is_error(content: bytes) -> bool:
    """As APIs of this kind tell an error: a mapping, and not a web page."""
    try:
        return isinstance(answers.parsed(content), dict)
    except Malformed:
        return False


def _said(content: bytes) -> str:
    """The sentence in an error's body."""
    try:
        document: Any = answers.parsed(content)
    except Malformed:
        return " ".join(content[:SHOWN].decode(errors="replace").split())
    error = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error
    return " ".join(str(error).split())


def _retry_after(value: str | None) -> float | None:
    """Seconds, as the header gives them or the time until a date."""
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
