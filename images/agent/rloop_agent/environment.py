"""The environment of a session's process: every variable RLOOP_*, validated.

Read by `__main__`, and for its token by the MCP server of a client's session.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rloop.api.agent import PROGRAMS, ClientName
from rloop_agent.policies.table import POLICIES

UNSET = "{} is not set: this program is started by the operator or by `rloop run`"


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
class ClientSettings:
    """Settings of an agent that is a coding agent of another maker."""

    name: ClientName
    args: tuple[str, ...]
    home: str
    """The user's home, where the client's own login lies; empty if it uses the LLM proxy."""
    proxy: str
    """Base URL of the LLM proxy, with /v1."""
    model: str
    transcripts: Path | None


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """Settings of a session that is given to an agent which a person has started."""

    folder: Path
    """Where the two meet."""


Mind = PolicySettings | ModelSettings | ClientSettings | JoinSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """The validated environment."""

    url: str
    token: Callable[[], str]
    session: str
    mind: Mind
    heartbeat_seconds: float


def settings(environment: Mapping[str, str]) -> Settings:
    """Read the variables RLOOP_*. Raises BadEnvironment."""

    def text(name: str) -> str:
        value = environment.get(name, "")
        if not value:
            raise BadEnvironment(UNSET.format(name))
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
        token=token_of(environment),
        session=text("RLOOP_SESSION"),
        mind=_mind(environment, text, number),
        heartbeat_seconds=heartbeat,
    )


def _mind(environment: Mapping[str, str], text: Callable[[str], str], number: Callable[[str], float]) -> Mind:
    """Settings of the policy, the client or the model; a client may use the model, a policy nothing else."""
    if environment.get("RLOOP_JOIN"):
        return JoinSettings(Path(environment["RLOOP_JOIN"]))
    others = [name for name in ("RLOOP_LLM_MODEL", "RLOOP_CLIENT") if environment.get(name)]
    if others and environment.get("RLOOP_POLICY"):
        raise BadEnvironment(f"RLOOP_POLICY and {others[0]} are both set: unset one of them")
    folder = environment.get("RLOOP_TRANSCRIPTS")
    transcripts = Path(folder) if folder else None
    if environment.get("RLOOP_CLIENT"):
        return _client(environment, transcripts)
    if environment.get("RLOOP_LLM_MODEL"):
        return ModelSettings(text("RLOOP_LLM_PROXY"), text("RLOOP_LLM_MODEL"), transcripts)
    policy = text("RLOOP_POLICY")
    if policy not in POLICIES:
        raise BadEnvironment(f"RLOOP_POLICY is {policy!r}: not supported yet; use one of {', '.join(POLICIES)}")
    return PolicySettings(policy, int(number("RLOOP_POLICY_SEED")))


def _client(environment: Mapping[str, str], transcripts: Path | None) -> ClientSettings:
    asked = environment["RLOOP_CLIENT"]
    name = next((one for one in PROGRAMS if one == asked), None)
    if name is None:
        raise BadEnvironment(f"RLOOP_CLIENT is {asked!r}: use one of {', '.join(PROGRAMS)}")
    return ClientSettings(
        name,
        tuple(json.loads(environment.get("RLOOP_CLIENT_ARGS") or "[]")),
        environment.get("RLOOP_CLIENT_HOME", ""),
        environment.get("RLOOP_LLM_PROXY", ""),
        environment.get("RLOOP_LLM_MODEL", ""),
        transcripts,
    )


def token_of(environment: Mapping[str, str]) -> Callable[[], str]:
    """Returns the token from the environment, or from a file, which the kubelet rotates. Raises BadEnvironment."""
    if environment.get("RLOOP_TOKEN_FILE"):
        file = Path(environment["RLOOP_TOKEN_FILE"])
        return lambda: file.read_text(encoding="ascii").strip()
    token = environment.get("RLOOP_TOKEN", "")
    if not token:
        raise BadEnvironment(UNSET.format("RLOOP_TOKEN"))
    return lambda: token
