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
    """A built-in agent without an LLM."""

    name: Literal["random-search", "coordinate-search", "best-first", "evolutionary"]
    """How it searches `space.yaml`."""
    seed: Seed = 0
    """Of its own chance; another seed proposes other values."""


class LlmAgent(Model):
    """An agent that thinks with a language model of one of the administrator's providers."""

    provider: Word
    """One of the administrator's providers, by name; keys never stand here."""
    model: Annotated[Line, Field(min_length=1)]
    """The model's name, as the provider spells it."""
    max_tokens_per_session: Count = 200_000
    """What one session may spend."""
    tool_calls: Literal["Auto", "Text"] = "Auto"
    """How the model calls tools. Auto: by the tools of the API, and as text once it makes no call. Text: as JSON text
    from the start, one call a reply, with a short prompt and a JSON schema (`response_format`); for small models.
    """


class Agent(Model):
    """Who proposes (`policy`, `llm`, or `image` with `command`, which may use an `llm` too), and a session's bounds."""

    model_config = cel(
        ("has(self.policy) != (has(self.llm) || has(self.image))", ONE_MIND),
        ("!has(self.command) || has(self.image)", COMMAND_ALONE, ".command"),
    )

    policy: PolicyAgent | None = None
    """Needs no account and no network."""
    llm: LlmAgent | None = None
    """Our agent thinks with it. Beside `image`: what that agent finds at the LLM proxy."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """An agent of your own, which speaks the gateway's HTTP or MCP. `rloop run` starts no image: it needs `command`."""
    command: Command | None = None
    """What `image` runs, if not its entrypoint. A word such as `./agent.py` is a file in the image's working directory,
    and one beside the manifest under `rloop run`.
    """
    resources: Resources = Resources()
    """Of its pod, in a cluster; our agent's commands share it. Absent: at most 512 MiB of memory."""
    max_rounds: Annotated[int, Field(ge=1, le=1000)] = 15
    """A round is one thought of the agent; after so many the session ends."""
    session_seconds: Seconds = 1800
    """A session ends after so long, whatever it is doing."""
    max_experiments: Annotated[int, Field(ge=1, le=100)] = 5
    """Proposals of one session. One each makes plateaus mostly noise: five is the default for a reason."""
    references: FolderSource | None = None
    """Papers and documents that an agent may read. Frozen once the loop is accepted."""
    explorers: Annotated[list[Literal["Investigate", "Refute", "Analogy"]], Field(min_length=1, max_length=3)] = [
        "Investigate"
    ]
    """One session each in every iteration."""

    @model_validator(mode="after")
    def _one_mind(self) -> Self:
        # Before ONE_MIND, which would not say that the command needs an image.
        if self.command is not None and self.image is None:
            raise ValueError(COMMAND_ALONE + ("" if self.policy is None else ", and take policy out"))
        if (self.policy is None) == (self.llm is None and self.image is None):
            raise ValueError(ONE_MIND)
        return self
