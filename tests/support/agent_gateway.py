"""A gateway in memory behind HTTP, for tests of processes that are sessions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from rloop.api.wire import (
    DirectionRequest,
    ExperimentRequest,
    FindingRequest,
    FinishRequest,
    HeartbeatRequest,
    Problem,
    UsageReport,
)
from rloop_agent.gateway import Refused
from rloop_agent.testing import FakeGateway

TOKEN = "secret-token"
Answer = tuple[int, bytes]
Interception = Callable[[str, str], Answer | None]


class Server:
    """A FakeGateway behind HTTP. `intercept` may answer instead; status 0 drops the connection."""

    def __init__(self) -> None:
        self.gateway = FakeGateway()
        self.intercept: Interception = lambda _verb, _path: None
        self.tokens: set[str] = set()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._reply()

            def do_POST(self) -> None:
                self._reply()

            @override
            def log_message(self, *_: Any) -> None:
                pass

            def _reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.tokens.add(self.headers["Authorization"])
                status, content = outer.intercept(self.command, self.path) or outer.answer(
                    self.command, self.path, body
                )
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, verb: str, path: str, body: bytes) -> Answer:
        gateway = self.gateway
        calls: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/v1/context"): gateway.context,
            ("GET", "/v1/task"): gateway.task,
            ("GET", "/v1/experiments"): gateway.experiments,
            ("GET", "/v1/experiments/demo-i0001-e1"): lambda: gateway.experiment("demo-i0001-e1"),
            ("POST", "/v1/directions"): lambda: gateway.post_direction(DirectionRequest.model_validate_json(body)),
            ("POST", "/v1/experiments"): lambda: gateway.post_experiment(ExperimentRequest.model_validate_json(body)),
            ("POST", "/v1/findings"): lambda: gateway.post_finding(FindingRequest.model_validate_json(body)),
            ("POST", "/v1/heartbeat"): lambda: gateway.heartbeat(HeartbeatRequest.model_validate_json(body)),
            ("POST", "/v1/usage"): lambda: gateway.report_usage(UsageReport.model_validate_json(body)),
            ("POST", "/v1/finish"): lambda: gateway.finish(FinishRequest.model_validate_json(body)),
        }
        with self._lock:
            try:
                result = calls[verb, path]()
            except Refused as refused:
                return problem(409, refused.reason, refused.message)
        if result is None:
            return 204, b""
        if isinstance(result, list):
            return 200, json.dumps([one.model_dump(mode="json", by_alias=True) for one in result]).encode()
        return 200, result.model_dump_json(by_alias=True).encode()


def problem(status: int, reason: str, message: str) -> Answer:
    return status, Problem(reason=reason, message=message).model_dump_json(by_alias=True).encode()
