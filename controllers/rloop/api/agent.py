"""The part of a ResearchLoop's spec that says who proposes.

Used by `rloop.api.researchloop`; apart, because it may be edited while a campaign runs.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from rloop.api.common import Command, Count, Line, Model, Resources, Seconds, Seed, Word, cel
from rloop.api.workload import FolderSource

ONE_MIND = "give exactly one of policy, llm, image; llm may stand beside image"
COMMAND_ALONE = "command goes with image: add image (rloop run does not use it: any name will do there)"


class PolicyAgent(Model):
    """A built-in search agent without a language model."""

    name: Literal["random-search", "coordinate-search", "tpe", "cma-es", "best-first", "evolutionary"]
    """Search algorithm over `space.yaml`."""
    seed: Seed = 0
    """Random seed of the search (default 0). Another seed proposes other values."""


class LlmAgent(Model):
    """The built-in agent with a language model."""

    provider: Word
    """Name of a provider that the administrator has configured. API keys never belong here."""
    model: Annotated[Line, Field(min_length=1)]
    """The model's name as the provider spells it."""
    max_tokens_per_session: Count = 200_000
    """Maximum number of tokens of one session (default 200000)."""
    tool_calls: Literal["Auto", "Text"] = "Auto"
    """How the model calls tools. Auto: by the tools of the API, and as text once it makes no call. Text: as JSON text
    from the start, one call a reply, with a short prompt and a JSON schema (`response_format`); for small models.
    """


class Agent(Model):
    """The agent that proposes experiments (`policy`, `llm`, or `image`, which may use an `llm`), and session limits."""

    model_config = cel(
        ("has(self.policy) != (has(self.llm) || has(self.image))", ONE_MIND),
        ("!has(self.command) || has(self.image)", COMMAND_ALONE, ".command"),
    )

    policy: PolicyAgent | None = None
    """A built-in search agent. It needs no account and no network."""
    llm: LlmAgent | None = None
    """Language model of the built-in agent. With `image`: the model that the LLM proxy offers to that agent."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Container image of a custom agent that uses the gateway over HTTP or MCP. `rloop run` uses `command` instead."""
    command: Command | None = None
    """Command of `image`; default: its entrypoint. `./agent.py` is a file in the image's working directory, and with
    `rloop run` a file next to the manifest.
    """
    resources: Resources = Resources()
    """Compute resources of the agent pod, including commands that the agent runs. Unset: at most 512 MiB of memory."""
    max_rounds: Annotated[int, Field(ge=1, le=1000)] = 15
    """Maximum number of rounds of a session (default 15). A round is one model reply with its tool calls."""
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
        # Before ONE_MIND, which would not say that the command needs an image.
        if self.command is not None and self.image is None:
            raise ValueError(COMMAND_ALONE + ("" if self.policy is None else ", and take policy out"))
        if (self.policy is None) == (self.llm is None and self.image is None):
            raise ValueError(ONE_MIND)
        return self
