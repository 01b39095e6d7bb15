"""`python -m rloop_agent`: the process of one fresh session.

Started by the operator in an agent's pod, and by the local shell. Everything it needs to know comes from the
environment and the gateway; it keeps nothing, so that a replacement after its death starts from the same
place.

Exit codes: 0 the session ended in order (also when it was closed), 1 the gateway was lost or refused the
token, 2 the environment is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rloop.api.wire import HeartbeatRequest
from rloop_agent.client import Client
from rloop_agent.gateway import AgentError, Closed
from rloop_agent.heart import Heart
from rloop_agent.log import json_lines
from rloop_agent.policies import POLICIES
from rloop_agent.session import Surroundings, run


class BadEnvironment(Exception):
    """A variable is missing or wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The environment, checked."""

    url: str
    token: Callable[[], str]
    session: str
    policy: str
    seed: int
    heartbeat_seconds: float


def settings(environment: Mapping[str, str]) -> Settings:
    """Read RLOOP_*; raises BadEnvironment."""

    def text(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise BadEnvironment(f"{name} is not set: this program is started by the operator or by `rloop run`")
        return value

    def number(name: str) -> float:
        try:
            value = float(text(name))
        except ValueError:
            raise BadEnvironment(f"{name} is {environment[name]!r}, which is no number") from None
        return value

    policy = text("RLOOP_POLICY")
    if policy not in POLICIES:
        raise BadEnvironment(f"RLOOP_POLICY is {policy!r}: not yet; use one of {', '.join(POLICIES)}")
    heartbeat = number("RLOOP_HEARTBEAT_SECONDS")
    if not 0 < heartbeat < threading.TIMEOUT_MAX:
        raise BadEnvironment(f"RLOOP_HEARTBEAT_SECONDS is {heartbeat:g}; it must lie above 0")
    return Settings(
        url=text("RLOOP_GATEWAY"),
        token=_token(environment, text),
        session=text("RLOOP_SESSION"),
        policy=policy,
        seed=int(number("RLOOP_POLICY_SEED")),
        heartbeat_seconds=heartbeat,
    )


def _token(environment: Mapping[str, str], text: Callable[[str], str]) -> Callable[[], str]:
    """A token in the environment, or in a file that the kubelet rotates."""
    if environment.get("RLOOP_TOKEN_FILE"):
        file = Path(environment["RLOOP_TOKEN_FILE"])
        return lambda: file.read_text(encoding="ascii").strip()
    token = text("RLOOP_TOKEN")
    return lambda: token


def main() -> int:
    """Live one session."""
    try:
        told = settings(os.environ)
    except BadEnvironment as error:
        json_lines("error", "bad environment", message=str(error))
        return 2
    stop = threading.Event()
    # As process 1 of a container we would not even notice SIGTERM without a handler. The round in hand is
    # finished.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = Client(told.url, told.token, wait=stop.wait, log=json_lines)
    heart = Heart(Client(told.url, told.token, patience=0, log=json_lines), told.heartbeat_seconds, json_lines)
    json_lines("info", "started", session=told.session, policy=told.policy, seed=told.seed)
    try:
        client.heartbeat(HeartbeatRequest())
        heart.start()
        around = Surroundings(on_round=heart.on_round, stop=stop.is_set, log=json_lines)
        run(client, POLICIES[told.policy], told.seed, told.session, around)
    except Closed as closed:
        json_lines("info", "closed", message=str(closed))
    except AgentError as error:
        json_lines("error", "gave up", message=str(error))
        return 1
    finally:
        heart.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
