"""Provides the folder of the model from which a run starts, on every rank.

Called by `rloop_trainer.run`. It is a folder even for a scratch model, because TRL loads its reference model from the
policy's source.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rloop_trainer import world
from rloop_trainer.inputs.check import BadRecipe
from rloop_trainer.inputs.examples import Example
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.models import scratch, warm_start
from rloop_trainer.world import World


def folder(recipe: Recipe, task: Path, checkpoints: Path, here: World, seed: int) -> Path:
    """Find, download or create the folder. All ranks call this. If it is unavailable all of them raise BadRecipe."""
    if recipe.model.path is not None:
        return task / recipe.model.path
    if recipe.model.hub is not None:
        return _from_hub(recipe.model.hub, here)
    return _from_scratch(recipe, task, checkpoints, here, seed)


def tokenizer(recipe: Recipe, start: Path, lines: Sequence[Example]) -> Any:
    """The model's tokenizer. Raises BadRecipe if it is missing, or if a prompt and its completion are too long."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        words = AutoTokenizer.from_pretrained(start, padding_side="left")
        positions = getattr(AutoConfig.from_pretrained(start), "max_position_embeddings", None)
    except (OSError, ValueError, KeyError) as error:
        if recipe.model.scratch is not None:
            raise
        raise unloadable(recipe, error) from error
    longest = max(len(ids) for ids in words([line.prompt for line in lines])["input_ids"])
    tokens = recipe.grpo.completion_tokens
    if positions is not None and longest + tokens > positions:
        room = f"the model has {positions} positions, and the longest prompt takes {longest}"
        raise BadRecipe([f"grpo.completion_tokens: {tokens} are too many: {room}; lower it, or shorten the prompts"])
    return words


def unloadable(recipe: Recipe, error: Exception) -> BadRecipe:
    """The error for a model that the libraries cannot load."""
    key, name = ("path", recipe.model.path) if recipe.model.path else ("hub", recipe.model.hub)
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    return BadRecipe([f"model.{key}: {name} cannot be loaded: {first}"])


def _from_hub(name: str, here: World) -> Path:
    """One rank of each node downloads; the others then read from the cache."""
    found, wrong = Path(), ""
    for turn in (True, False):
        if (here.local_rank == 0) == turn and not wrong:
            found, wrong = _snapshot(name)
        if world.any_of(here, flag=bool(wrong), patient=True):
            raise BadRecipe([f"model.hub: {wrong or 'another rank could not get the model; see its log'}"])
    return found


def _snapshot(name: str) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        # Weights in other formats are not needed.
        ignored = ["*.pth", "*.gguf", "*.onnx", "*.msgpack", "*.h5", "original/*"]
        return Path(snapshot_download(name, ignore_patterns=ignored)), ""
    except HFValidationError:
        return Path(), f"{name!r} is not a model id; ids look like Qwen/Qwen2.5-0.5B"
    except RepositoryNotFoundError:
        return Path(), f"there is no {name}, or it needs a token (HF_TOKEN)"
    except (LocalEntryNotFoundError, OSError):
        remedy = (
            "copy the model into a folder that the run can read and set model.path, or allow the run to use the network"
        )
        return Path(), f"{name} is not in the local cache and cannot be downloaded from here: {remedy}"


def _from_scratch(recipe: Recipe, task: Path, checkpoints: Path, here: World, seed: int) -> Path:
    if recipe.warm_start is None:
        made = checkpoints / "start"
        if here.first:
            # Created anew in each attempt: the seed makes it identical, and a kill may have left a partial one.
            assert recipe.model.scratch is not None
            shutil.rmtree(made, ignore_errors=True)
            scratch.save(made, scratch.model(recipe.model.scratch, seed), scratch.tokenizer(recipe.model.scratch))
        world.wait(here)
        return made
    found = world.told(here, _warm_start(recipe, task, checkpoints) if here.first else Path())
    if world.any_of(here, flag=not warm_start.is_complete(found)):
        # Another node cannot read the first node's cache, but all nodes see the checkpoints.
        found = world.told(here, warm_start.ensure(recipe, task, checkpoints) if here.first else Path())
    return found


def _warm_start(recipe: Recipe, task: Path, checkpoints: Path) -> Path:
    try:
        return warm_start.ensure(recipe, task, warm_start.cache(os.environ))
    except OSError:  # the cache is not writable
        return warm_start.ensure(recipe, task, checkpoints)
