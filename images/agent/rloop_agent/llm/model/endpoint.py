"""The model behind the LLM proxy, through openai's client: one call, its deadline, and its errors.

Called by the session. Nothing is retried here (`max_retries=0`): the session decides what a failure means for it, and
the proxy retries calls of providers. Answers are streamed, so that a long answer is not mistaken for a dead endpoint.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import httpx2
import openai

from rloop.api.reading.model_errors import context_too_long
from rloop_agent.gateway import Closed
from rloop_agent.llm.model.reply import Reply, ToolCall

T = TypeVar("T")
READ_SECONDS = 960.0
"""Seconds until the next piece of an answer. The proxy's own limits are more specific and by default shorter: 300 s
until the first token of a slow model, 900 s for a whole call.
"""
POLL_SECONDS = 0.1
REPLY_BYTES = 4 * 1024 * 1024
SPENT = frozenset({"session_spent", "budget_spent"})
WAITING = frozenset(
    {
        "provider_down",
        "hour_cap",
        "cap_too_small",
        "provider_refused",
        "provider_forbidden",
        "provider_unknown",
        "model_unknown",
        "price_unknown",
    }
)
"""Codes whose cause this session cannot change; an administrator or time can."""
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0


class Trouble(Exception):
    """A call without a usable answer; the message is a sentence."""


class Wait(Trouble):
    """No answer is available now; the call may be retried after `seconds`."""

    def __init__(self, message: str, seconds: float, *, known: bool) -> None:
        super().__init__(message)
        self.seconds = min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)
        self.known = known
        """True if the proxy reported the outage; otherwise the proxy is unreachable and the retry time is limited."""


class Spent(Trouble):
    """The session's allowance or the campaign's budget is used up."""


class TooLong(Trouble):
    """The conversation does not fit into the model's window."""


class Broken(Trouble):
    """The answer is not usable: cut off, malformed, empty, or too slow."""


class Rejected(Trouble):
    """The request itself was rejected; a retry would be rejected again."""


class Stopped(Trouble):
    """The process was asked to end."""


class Endpoint:
    """The model of this session."""

    def __init__(self, url: str, model: str, token: Callable[[], str]) -> None:
        async def key() -> str:
            return token()

        self.model = model
        self._runner = asyncio.Runner()
        self._client = openai.AsyncOpenAI(
            base_url=url,
            api_key=key,  # read for each call: in a cluster it is in a file that the kubelet rotates
            max_retries=0,
            timeout=httpx2.Timeout(READ_SECONDS, connect=5.0),
            # A proxy from the environment must never see the token.
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False),
        )

    def window(self, seconds: float, stop: Callable[[], bool]) -> int | None:
        """Size of the model's context in tokens; None if the proxy does not know it. Raises Trouble."""
        for one in self._run(self._models(), seconds, stop):
            if one.get("id") == self.model and isinstance(one.get("context_window"), int):
                return int(one["context_window"])
        return None

    def ask(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]],
        seconds: float,
        stop: Callable[[], bool],
        schema: dict[str, Any] | None = None,
    ) -> Reply:
        """One complete answer within the given seconds. Raises Trouble, and Closed if the session is over.

        `schema` is a JSON schema for the answer's text, used instead of tools.
        """
        return self._run(self._ask(messages, tools, schema), seconds, stop)

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._client.close())
        self._runner.close()

    def _run(self, call: Coroutine[Any, Any, T], seconds: float, stop: Callable[[], bool]) -> T:
        return self._runner.run(_within(call, seconds, stop))

    async def _models(self) -> list[dict[str, Any]]:
        page = await _translated(self._client.models.list())
        return [one.model_dump() for one in page.data or []]

    async def _ask(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], schema: dict[str, Any] | None
    ) -> Reply:
        request: Any = {
            "model": self.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if tools:
            request["tools"] = tools
        if schema is not None:
            named = {"name": "tool_call", "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        return await _translated(self._collected(request))

    async def _collected(self, request: Any) -> Reply:
        reply = Reply()
        calls: dict[int, ToolCall] = {}
        size, answered = 0, False
        async with await self._client.chat.completions.create(**request) as stream:
            try:
                async for chunk in stream:
                    found = chunk.model_dump()
                    size += len(json.dumps(found, default=str))
                    if size > REPLY_BYTES:
                        raise Broken(f"the response is larger than {REPLY_BYTES} bytes")
                    answered |= _take(reply, calls, found)
            except openai.APIConnectionError as error:
                # This answer was billed, so it must not be retried as often as a request that was never answered.
                raise Broken(f"the response was cut off: {error.__cause__ or error}") from error
        if not answered:
            raise Broken(
                "the response has no choices: check that the endpoint is compatible with OpenAI's chat.completions"
            )
        reply.calls = [calls[index] for index in sorted(calls)]
        return reply


def _take(reply: Reply, calls: dict[int, ToolCall], chunk: dict[str, Any]) -> bool:
    """Add a chunk to the reply. Returns whether it contained a choice."""
    reply.model = chunk.get("model") or reply.model
    usage = chunk.get("usage")
    if usage:
        reply.prompt_tokens = int(usage.get("prompt_tokens") or 0)
        reply.answer_tokens = int(usage.get("completion_tokens") or 0)
        reply.cached_tokens = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
    choices = chunk.get("choices") or []
    if not choices:
        return False
    delta = choices[0].get("delta") or {}
    reply.text += delta.get("content") or ""
    reply.reasoning += delta.get("reasoning_content") or ""
    reply.finish = choices[0].get("finish_reason") or reply.finish
    for piece in delta.get("tool_calls") or []:
        index = piece.get("index")
        index = len(calls) if index is None else int(index)  # some servers send each call whole and without an index
        call = calls.setdefault(index, ToolCall(piece.get("id") or f"call_{index}"))
        function = piece.get("function") or {}
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""
    return True


async def _within(call: Coroutine[Any, Any, T], seconds: float, stop: Callable[[], bool]) -> T:
    """The call's result. The client's timeouts apply to each read; this deadline applies to all of them together."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    task = loop.create_task(call)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=POLL_SECONDS)
            if stop() and not task.done():
                raise Stopped("the process was asked to stop")
            if loop.time() >= ends_at and not task.done():
                raise Broken(f"no complete response within {round(seconds, 1):g} s")
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _translated(call: Awaitable[T]) -> T:
    """Await the call, and translate the client's errors into those of this module."""
    try:
        return await call
    except openai.APIStatusError as error:
        raise _status(error) from error
    except openai.APIConnectionError as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        raise Wait(f"the LLM proxy cannot be reached: {error}{cause}", 2.0, known=False) from error
    except openai.APIError as error:  # in the middle of a stream
        if context_too_long(str(error.code or ""), error.message):
            raise TooLong(error.message) from error
        raise _coded(str(error.code or ""), error.message, None) or Broken(error.message) from error
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        raise Broken(f"{type(error).__name__}: {error}") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # The client builds its models without validating their content.
        raise Broken(f"the response is not a chat.completions response: {type(error).__name__}: {error}") from error


def _status(error: openai.APIStatusError) -> Exception:
    status, code, told = error.status_code, error.code or "", error.message[:500]
    after = _seconds(error.response.headers.get("retry-after", ""))
    known = _coded(code, told, after)
    if known is not None:
        return known
    if status == 413 or context_too_long(code, told):
        return TooLong(told)
    if status in (408, 429) or status >= 500:
        return Wait(f"HTTP {status}: {told}", after or 2.0, known=status == 429)
    if status == 401:
        return Wait(f"the token was rejected: {told}", 2.0, known=False)
    return Rejected(f"HTTP {status}: {told}")


def _coded(code: str, told: str, after: float | None) -> Exception | None:
    """The error for one of the proxy's own codes; None for any other code."""
    if code == "closed":
        return Closed(told)
    if code in SPENT:
        return Spent(told)
    if code in WAITING:
        return Wait(f"{code}: {told}", after or 5.0, known=True)
    if code == "provider_malformed":
        return Broken(told)
    if code == "too_large":
        return TooLong(told)
    return None


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
