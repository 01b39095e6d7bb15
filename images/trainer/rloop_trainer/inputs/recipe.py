"""The recipe: model, data and training parameters, as types with bounds.

Read by `rloop_trainer.inputs.check`, which reports errors, and by the training. It does not import torch, so that a
recipe is checked in a second. Bounds that involve two sections or a file are in `check`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Steps = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[float, Field(gt=0, le=10)]
Probability = Annotated[float, Field(ge=0, le=1)]
File = Annotated[str, Field(min_length=1, max_length=1024)]
"""A path, relative to the recipe's folder unless absolute."""


class Part(BaseModel):
    """Base of all sections. Strict: "5" is not a number, and an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class Scratch(Part):
    """A small Qwen2 with random weights, and a tokenizer with one token per character."""

    vocabulary: Annotated[str, Field(min_length=2, max_length=4096)]
    """The characters. Token ids 0 and 1 are padding and end; the characters follow from 2 in this order."""
    hidden: Annotated[int, Field(ge=8, le=16384)] = 128
    intermediate: Annotated[int, Field(ge=8, le=65536)] = 256
    layers: Annotated[int, Field(ge=1, le=256)] = 2
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    kv_heads: Annotated[int, Field(ge=1, le=256)] = 2
    positions: Annotated[int, Field(ge=4, le=1_000_000)] = 32
    """Maximum tokens of prompt and completion together."""


class Model(Part):
    """Source of the model: exactly one of the three."""

    hub: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """An id such as Qwen/Qwen2.5-0.5B, which is downloaded or read from the local cache of Hugging Face."""
    path: File | None = None
    """A folder in the layout of Hugging Face."""
    scratch: Scratch | None = None


class WarmStart(Part):
    """A supervised start for a scratch model: made once, then read from a cache."""

    file: File
    """Lines {"prompt": ..., "answer": ...}."""
    steps: Steps = 400
    batch: Annotated[int, Field(ge=1, le=65536)] = 64
    learning_rate: Rate = 0.001
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Independent of the run's seed: all runs start from the same model."""


class Data(Part):
    """The training data."""

    train: File
    """Lines {"prompt": ..., "answer": ...}."""


class Reward(Part):
    """The reward of a completion."""

    name: Literal["exact-match"] | None = None
    """exact-match: 1 if the completion equals the answer except for surrounding white space, else 0."""
    file: File | None = None
    """A Python file with a reward function, instead of a name."""
    function: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """A function in it: f(completion: str, answer: str) -> float."""
    flip: Probability = 0.0
    """Probability that a reward of 0 or 1 is inverted, to simulate a noisy judge."""


class Grpo(Part):
    """Group-relative policy optimization; names are those of TRL's GRPOConfig where it has them."""

    steps: Steps
    learning_rate: Rate
    batch: Annotated[int, Field(ge=2, le=1_048_576)]
    """Completions per step, over all ranks."""
    group: Annotated[int, Field(ge=2, le=65536)]
    """Completions of the same prompt, compared with each other."""
    temperature: Annotated[float, Field(gt=0, le=100)] = 1.0
    completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)]
    """Maximum tokens of a completion; a scratch model's end of text counts as one."""
    beta: Annotated[float, Field(ge=0, le=1000)] = 0.0
    """Weight of the KL divergence from the start model."""
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    epsilon: Annotated[float, Field(gt=0, le=10)] = 0.2
    warmup_steps: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Steps in which the learning rate rises to its value; it is constant afterwards."""


class Distributed(Part):
    """How the work is divided among the ranks."""

    zero: Annotated[int, Field(ge=0, le=3)] | None = None
    """Stage of DeepSpeed's ZeRO; unset: no DeepSpeed."""
    precision: Literal["float32", "bfloat16"] = "float32"


class Checkpoint(Part):
    """Which checkpoints are kept, so that a second attempt resumes from the first."""

    every_steps: Steps = 25
    keep: Annotated[int, Field(ge=1, le=1000)] = 2


class Recipe(Part):
    """The whole file."""

    model: Model
    warm_start: WarmStart | None = None
    data: Data
    reward: Reward = Reward(name="exact-match")
    grpo: Grpo
    distributed: Distributed = Distributed()
    checkpoint: Checkpoint = Checkpoint()
    metric: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]*$", max_length=63)] | None = None
    """Name in claims.json of the mean reward on the training data (default: exact-match or the reward function's)."""

    @property
    def claimed(self) -> str:
        """Name of the claim."""
        return self.metric or self.reward.name or self.reward.function or "reward"
