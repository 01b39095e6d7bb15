"""A model server that plays scripts: three APIs over HTTP, whole and streamed, with tool calls.

Started by tests and by `make demo-llm` as a process of its own (`python -m tests.models`). The model's name says what
is played: `researcher`, `researcher:7` with another seed, `researcher+status-500x2` to fail twice first. Nothing in
here is a language model, and no result of it is one's.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.models import dialects, failures
from tests.models.conversation import Reply, read
from tests.models.rogues import SCRIPTS
from typing_extensions import override

BYTES_PER_TOKEN = 4


class ModelServer(ThreadingHTTPServer):
    """Answers; `key` is the API key that it wants, `requests` the log of what it was asked."""

    daemon_threads = True

    def __init__(
        self,
        port: int = 0,
        key: str | None = None,
        log: Path | None = None,
        window: int | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__((host, port), _Handler)
        self.key = key
        self.window = window
        """Tokens, as our proxy tells them of a model; a provider says nothing of it."""
        self.calls: Counter[str] = Counter()
        self._log = log
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """What a client takes as its base URL."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def count(self, model: str, request: dict[str, Any]) -> int:
        """How often this model was asked, with this request."""
        with self._lock:
            self.calls[model] += 1
            if self._log is not None:
                with self._log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(request) + "\n")
            return self.calls[model]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelServer
    asked = 0
    """Bytes of the request."""

    @override
    def log_message(self, *_: Any) -> None:
        """Tests read the log file."""

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self.send(404, _error("there is only /v1/models and /v1/chat/completions", "not_found"))
        elif self._admitted():
            own = {} if self.server.window is None else {"context_window": self.server.window}
            self.send(200, {"object": "list", "data": [{"id": name, "object": "model", **own} for name in SCRIPTS]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked = len(body)
        path = self.path.partition("?")[0]
        api = dialects.PATHS.get(path)
        if path != "/v1/chat/completions" and api is None:
            self.send(404, _error(f"there is only /v1/models and {', '.join(dialects.PATHS)}", "not_found"))
            return
        if not self._admitted():
            return
        try:
            asked: dict[str, Any] = json.loads(body)
            request = asked if api is None else dialects.as_chat(api, asked)
            script, _, failing = request["model"].partition("+")
            play = SCRIPTS.get(script.partition(":")[0])
        except (ValueError, KeyError, AttributeError) as error:
            self.send(400, _error(f"no request of chat.completions: {error}", "invalid_request_error"))
            return
        if play is None:
            self.send(404, _error(f"the model `{script}` does not exist", "model_not_found"))
            return
        number = self.server.count(request["model"], request)
        try:
            failure = failures.named(failing, number)
        except ValueError as error:
            self.send(404, _error(str(error), "model_not_found"))
            return
        if failure is not None and failure.instead(self):
            return
        reply = play(read(request))
        answer = self._completion(request, reply)
        if failure is not None:
            answer = failure.spoilt(answer)
        if api is not None:
            self._answer_in(api, dialects.answered(api, answer, asked), stream=bool(asked.get("stream")))
        elif request.get("stream"):
            self._stream(answer, failure, usage=bool((request.get("stream_options") or {}).get("include_usage")))
        else:
            self.send(200, answer)

    def _answer_in(self, api: str, answer: dict[str, Any], *, stream: bool) -> None:
        if not stream:
            self.send(200, answer)
            return
        self.begin_stream()
        for one in dialects.events(api, answer):
            self.wfile.write(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode())
            self.wfile.flush()

    def send(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        """A whole answer; text goes out as it is."""
        content = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def begin_stream(self) -> None:
        """The head of a stream, which ends with the connection."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

    def _admitted(self) -> bool:
        if self.server.key is None or self.headers.get("Authorization") == f"Bearer {self.server.key}":
            return True
        self.send(401, _error("Incorrect API key provided", "invalid_api_key"))
        return False

    def _completion(self, request: dict[str, Any], reply: Reply) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
        if reply.calls:
            first = len(request["messages"])
            message["tool_calls"] = [
                {"id": f"call_{first}_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for index, (name, arguments) in enumerate(reply.calls)
            ]
        return {
            "id": f"scripted-{len(request['messages'])}",
            "object": "chat.completion",
            "created": 0,
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}],
            "usage": _usage(request, message),
        }

    def _stream(self, answer: dict[str, Any], failure: failures.Failure | None, *, usage: bool) -> None:
        """The answer in chunks: words in pieces, each call's arguments in two, usage last if it was asked for."""
        self.begin_stream()
        head = {name: answer[name] for name in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
        deltas = [delta for choice in answer["choices"] for delta in _deltas(choice["message"])]
        chunks = [head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
        if answer["choices"]:
            finish = {"index": 0, "delta": {}, "finish_reason": answer["choices"][0]["finish_reason"]}
            chunks.append(head | {"choices": [finish]})
        if usage and answer.get("usage"):
            chunks.append(head | {"choices": [], "usage": answer["usage"]})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
        for number, line in enumerate(lines):
            if failure is not None and failure.at_chunk(self, number):
                return
            self.wfile.write(line.encode())
            self.wfile.flush()


def _deltas(message: dict[str, Any]) -> list[dict[str, Any]]:
    text = message["content"] or ""
    found: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    found += [{"content": text[start : start + 20]} for start in range(0, len(text), 20)]
    for index, call in enumerate(message.get("tool_calls", [])):
        arguments = call["function"]["arguments"]
        middle = len(arguments) // 2
        first = {**call, "index": index, "function": {**call["function"], "arguments": arguments[:middle]}}
        rest = {"index": index, "function": {"arguments": arguments[middle:]}}
        found += [{"tool_calls": [first]}, {"tool_calls": [rest]}]
    return found


def _usage(request: dict[str, Any], message: dict[str, Any]) -> dict[str, Any]:
    """Tokens by length. What stood in the request before this one counts as cached, as a provider's cache would."""
    sizes = [len(json.dumps(one)) for one in request["messages"]]
    newest = max((n for n, one in enumerate(request["messages"]) if one["role"] == "assistant"), default=0)
    prompt = (sum(sizes) + len(json.dumps(request.get("tools", [])))) // BYTES_PER_TOKEN
    answer = len(json.dumps(message)) // BYTES_PER_TOKEN
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": sum(sizes[:newest]) // BYTES_PER_TOKEN},
    }


def _error(message: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
