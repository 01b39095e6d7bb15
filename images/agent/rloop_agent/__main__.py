"""`python -m rloop_agent`: the process of one session.

Started by the operator in an agent's pod, and by the local shell. All its input comes from the environment and the
gateway. It keeps no state, so a replacement after a crash starts from the same point.

Exit codes: 0 the session ended normally (also if it was closed), 1 the gateway was unreachable or rejected the token, 2
the environment is invalid.
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
from rloop_agent.policies.table import POLICIES
from rloop_agent.session import Surroundings, run


class BadEnvironment(Exception):
    """A variable is missing or invalid; the message names it."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings of an agent that searches by a policy."""

    name: str
    seed: int


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Settings of an agent that uses a language model."""

    proxy: str
    """Base URL of the LLM proxy, with /v1."""
    name: str
    transcripts: Path | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated environment."""

    url: str
    token: Callable[[], str]
    session: str
    mind: PolicySettings | ModelSettings
    heartbeat_seconds: float


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the variables RLOOP_*. Raises BadEnvironment."""

    def text(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise BadEnvironment(f"{name} is not set: this program is started by the operator or by `rloop run`")
        return value

    def number(name: str) -> float:
        try:
            value = float(text(name))
        except ValueError:
            raise BadEnvironment(f"{name} is {environment[name]!r}, which is not a number") from None
        return value

    heartbeat = number("RLOOP_HEARTBEAT_SECONDS")
    if not 0 < heartbeat < threading.TIMEOUT_MAX:
        raise BadEnvironment(f"RLOOP_HEARTBEAT_SECONDS is {heartbeat:g}; it must be greater than 0")
    return Settings(
        url=text("RLOOP_GATEWAY"),
        token=_token(environment, text),
        session=text("RLOOP_SESSION"),
        mind=_mind(environment, text, number),
        heartbeat_seconds=heartbeat,
    )


def _mind(
    environment: Mapping[str, str], text: Callable[[str], str], number: Callable[[str], float]
) -> PolicySettings | ModelSettings:
    """Settings of the policy or the model; exactly one of them must be configured."""
    if environment.get("RLOOP_LLM_MODEL"):
        if environment.get("RLOOP_POLICY"):
            raise BadEnvironment("RLOOP_POLICY and RLOOP_LLM_MODEL are both set: unset one of them")
        folder = environment.get("RLOOP_TRANSCRIPTS")
        return ModelSettings(text("RLOOP_LLM_PROXY"), text("RLOOP_LLM_MODEL"), Path(folder) if folder else None)
    policy = text("RLOOP_POLICY")
    if policy not in POLICIES:
        raise BadEnvironment(f"RLOOP_POLICY is {policy!r}: not supported yet; use one of {', '.join(POLICIES)}")
    return PolicySettings(policy, int(number("RLOOP_POLICY_SEED")))


def _token(environment: Mapping[str, str], text: Callable[[str], str]) -> Callable[[], str]:
    """Returns the token from the environment, or from a file, which the kubelet rotates."""
    if environment.get("RLOOP_TOKEN_FILE"):
        file = Path(environment["RLOOP_TOKEN_FILE"])
        return lambda: file.read_text(encoding="ascii").strip()
    token = text("RLOOP_TOKEN")
    return lambda: token


def _described(mind: PolicySettings | ModelSettings) -> dict[str, object]:
    if isinstance(mind, PolicySettings):
        return {"policy": mind.name, "seed": mind.seed}
    return {"model": mind.name}


def _live(told: Settings, client: Client, around: Surroundings) -> None:
    """Run the session."""
    if isinstance(told.mind, PolicySettings):
        run(client, POLICIES[told.mind.name], told.mind.seed, told.session, around)
        return
    # Imported here: the session of a policy does not need a provider's client.
    from rloop_agent.llm import session
    from rloop_agent.llm.model.endpoint import Endpoint
    from rloop_agent.llm.model.transcript import Transcript

    endpoint = Endpoint(told.mind.proxy, told.mind.name, told.token)
    try:
        session.run(client, endpoint, around, Transcript(told.mind.transcripts, told.token, json_lines))
    finally:
        endpoint.close()


def main() -> int:
    """Run one session; returns the exit code."""
    try:
        told = settings(os.environ)
    except BadEnvironment as error:
        json_lines("error", "bad environment", message=str(error))
        return 2
    stop = threading.Event()
    # As process 1 of a container, this process would ignore SIGTERM without a handler. The current round is completed.
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    client = Client(told.url, told.token, wait=stop.wait, log=json_lines)
    heart = Heart(Client(told.url, told.token, patience=0, log=json_lines), told.heartbeat_seconds, json_lines)
    json_lines("info", "started", session=told.session, **_described(told.mind))
    try:
        client.heartbeat(HeartbeatRequest())
        heart.start()
        around = Surroundings(
            on_round=heart.on_round, stop=stop.is_set, wait=stop.wait, nudge=heart.nudge, log=json_lines
        )
        _live(told, client, around)
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
