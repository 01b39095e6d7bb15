"""The part of a ResearchLoop's spec that says who proposes.

Used by `rloop.api.researchloop`; apart, because it may be edited while a campaign runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from rloop.api.common import (
    Argument,
    Command,
    Count,
    DnsLabel,
    Line,
    Model,
    Resources,
    Seconds,
    Seed,
    Word,
    cel,
    no_name_of_ours,
)
from rloop.api.workload import ENV_NAME_PATTERN, FolderSource

ONE_MIND = "give exactly one of policy, llm, image, client; or llm with image or client, policy with llm or client"
ONE_SOURCE = "give value, or fromEnv (rloop run) and secretKeyRef (cluster), of which each shell uses its own"
CLIENTS_MODEL = "client uses the model of llm: add llm (provider and model), or set client.login: Own"
OWN_MODEL = "a client with login: Own uses its own model: remove llm"
COMMAND_ALONE = "command needs image: add image (rloop run does not use it; any name works)"
NO_COMMAND = "a client has no command: remove command (client.args adds arguments)"

SESSION_TOKENS, CLIENTS_SESSION_TOKENS = 200_000, 2_000_000
"""Defaults of `llm.maxTokensPerSession`."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is known of a client before a session starts; how it is started is the business of `rloop_agent.clients`."""

    executable: str
    """Name of its program in PATH."""
    package: str
    """Name of its npm package."""
    proxied: bool = True
    """Whether the LLM proxy serves the API that it calls; otherwise it needs `login: Own`."""


ClientName = Literal["claude-code", "codex", "opencode", "gemini-cli"]
PROGRAMS: dict[ClientName, Program] = {
    "claude-code": Program("claude", "@anthropic-ai/claude-code"),
    "codex": Program("codex", "@openai/codex"),
    "opencode": Program("opencode", "opencode-ai"),
    "gemini-cli": Program("gemini", "@google/gemini-cli", proxied=False),
}


class PolicyAgent(Model):
    """A search algorithm. Alone it is the agent; beside `llm` or `client` it chooses the numbers for that agent."""

    name: Literal["random-search", "coordinate-search", "tpe", "cma-es", "best-first", "evolutionary"]
    """Search algorithm over `space.yaml`. best-first and evolutionary are not supported yet."""
    seed: Seed = 0
    """Random seed of the search (default 0). Another seed proposes other values."""


class LlmAgent(Model):
    """The built-in agent with a language model."""

    provider: Word
    """Name of a provider that the administrator has configured. API keys never belong here."""
    model: Annotated[Line, Field(min_length=1)]
    """The model's name as the provider spells it."""
    max_tokens_per_session: Count | None = None
    """Maximum number of tokens of one session. Unset: 200000, or 2000000 with `client`, because coding agents send long
    requests, and cached input counts in full.
    """
    tool_calls: Literal["Auto", "Text"] = "Auto"
    """How the model calls tools. Auto: by the tools of the API, and as text once it makes no call. Text: as JSON text
    from the start, one call a reply, with a short prompt and a JSON schema (`response_format`); for small models.
    """


class ClientAgent(Model):
    """A coding agent of another maker. Each session starts it once, without a person, in a copy of the task."""

    name: ClientName
    """Which one. Its program must be installed: claude, codex, opencode or gemini in PATH."""
    args: Annotated[list[Argument], Field(max_length=64)] = []
    """More arguments for its program, after ours."""
    login: Literal["Proxy", "Own"] = "Proxy"
    """Who pays for its model. Proxy (default): `llm`, through the LLM proxy, within the budget. Own: the client's own
    login on this machine. `budget.tokens` then counts what the client reports, and `budget.cost` nothing.
    """

    model_config = cel(
        (
            "self.name != 'gemini-cli' || (has(self.login) && self.login == 'Own')",
            "gemini-cli needs login: Own, and no llm: the LLM proxy does not serve the API that it calls",
            ".login",
        ),
    )

    @model_validator(mode="after")
    def _served(self) -> Self:
        if self.login == "Proxy" and not PROGRAMS[self.name].proxied:
            message = f"{self.name} needs login: Own, and no llm: the LLM proxy does not serve the API that it calls"
            raise ValueError(message)
        return self


class SecretKey(Model):
    """One key of a Secret in the loop's namespace."""

    name: DnsLabel
    """Name of the Secret."""
    key: Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
    """The key in it."""


class AgentEnvVar(Model):
    """An environment variable of the agent. Names that start with RLOOP_ are reserved."""

    model_config = cel(
        ("!self.name.startsWith('RLOOP_')", "names that start with RLOOP_ are set by the loop", ".name"),
        ("has(self.value) != (has(self.fromEnv) || has(self.secretKeyRef))", ONE_SOURCE),
    )

    name: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)]
    """Name: letters, digits and _."""
    value: Argument | None = None
    """Value in plain text, for what is no secret."""
    from_env: Annotated[str, Field(pattern=ENV_NAME_PATTERN, min_length=1, max_length=128)] | None = None
    """With `rloop run`: the variable of your own environment that has the value."""
    secret_key_ref: SecretKey | None = None
    """In a cluster: the key of a Secret that has the value."""

    _not_ours = field_validator("name")(no_name_of_ours)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.value is None) == (self.from_env is None and self.secret_key_ref is None):
            raise ValueError(ONE_SOURCE)
        return self


class Agent(Model):
    """The agent that proposes experiments: `policy`, `llm`, `client` or `image`; and the limits of a session.

    `policy` beside `llm` or `client` gives that agent the tools suggest and tune.
    """

    model_config = cel(
        (
            (
                "has(self.image)"
                " ? !has(self.client) && !has(self.policy)"
                " : has(self.client) || has(self.policy) || has(self.llm)"
            ),
            ONE_MIND,
        ),
        ("!has(self.command) || has(self.image) || has(self.client)", COMMAND_ALONE, ".command"),
        ("!has(self.command) || has(self.image) || !has(self.client)", NO_COMMAND, ".command"),
        (
            "!has(self.client) || (has(self.client.login) && self.client.login == 'Own') || has(self.llm)",
            CLIENTS_MODEL,
            ".llm",
        ),
        (
            "!has(self.client) || !has(self.client.login) || self.client.login != 'Own' || !has(self.llm)",
            OWN_MODEL,
            ".llm",
        ),
    )

    policy: PolicyAgent | None = None
    """A built-in search algorithm over `space.yaml`. Alone it is the agent, and needs no account and no network. Beside
    `llm` or `client` it is a tool of that agent, which lets it choose the numbers within a frame.
    """
    llm: LlmAgent | None = None
    """Language model of the built-in agent. With `image`: the model that the LLM proxy offers to that agent."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Container image of a custom agent that uses the gateway over HTTP or MCP. `rloop run` uses `command` instead."""
    client: ClientAgent | None = None
    """A coding agent of another maker, by name."""
    command: Command | None = None
    """Command of `image`; default: its entrypoint. `./agent.py` is a file in the image's working directory, and with
    `rloop run` a file next to the manifest.
    """
    env: Annotated[list[AgentEnvVar], Field(max_length=64)] = []
    """Environment variables of the agent's program, for example a key for a service that it uses."""
    resources: Resources = Resources()
    """Compute resources of the agent pod, including commands that the agent runs. Unset: at most 512 MiB of memory."""
    max_rounds: Annotated[int, Field(ge=1, le=1000)] = 15
    """Maximum number of rounds of a session (default 15). A round is one model reply with its tool calls. Not applied
    to a `client`, whose turns are shorter: `sessionSeconds` and `maxTokensPerSession` limit it.
    """
    session_seconds: Seconds = 1800
    """Maximum duration of a session in seconds (default 1800)."""
    max_experiments: Annotated[int, Field(ge=1, le=100)] = 5
    """Maximum number of experiments of a session (default 5). With one, plateaus are mostly noise."""
    references: FolderSource | None = None
    """Papers and documents that agents can read. Frozen once the loop is accepted."""
    explorers: Annotated[list[Literal["Investigate", "Refute", "Analogy"]], Field(min_length=1, max_length=3)] = [
        "Investigate"
    ]
    """Roles of the sessions of each iteration, one session per role (default Investigate)."""

    @model_validator(mode="after")
    def _one_mind(self) -> Self:
        if self.command is not None and self.client is not None and self.image is None:
            raise ValueError(NO_COMMAND)
        # Before ONE_MIND, which would not say that the command needs an image.
        if self.command is not None and self.image is None:
            raise ValueError(COMMAND_ALONE + ("" if self.policy is None else ", and remove policy"))
        ours = self.policy is not None or self.client is not None
        if ours if self.image is not None else not ours and self.llm is None:
            raise ValueError(ONE_MIND)
        if self.client is not None and (self.llm is not None) != (self.client.login == "Proxy"):
            raise ValueError(CLIENTS_MODEL if self.llm is None else OWN_MODEL)
        return self

    @property
    def searcher(self) -> PolicyAgent | None:
        """The policy, if it is the agent; None if it only helps a model or a client, or if there is none."""
        return self.policy if self.llm is None and self.client is None else None

    @property
    def session_tokens(self) -> int:
        """Maximum number of tokens of one session; 0 if the agent uses no model of the LLM proxy."""
        if self.llm is None:
            return 0
        default = SESSION_TOKENS if self.client is None else CLIENTS_SESSION_TOKENS
        return default if self.llm.max_tokens_per_session is None else self.llm.max_tokens_per_session
