"""The folder of the model that a run starts from, there for every rank.

Called by `rloop_trainer.run`. Always a folder, also for a scratch model: TRL loads its reference model from where the
policy came from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rloop_trainer import scratch, warm_start, world
from rloop_trainer.check import BadRecipe
from rloop_trainer.examples import Example
from rloop_trainer.recipe import Recipe
from rloop_trainer.world import World


def folder(recipe: Recipe, task: Path, checkpoints: Path, here: World, seed: int) -> Path:
    """Find, fetch or make it; all ranks call this. Raises BadRecipe, on all ranks, where it cannot be had."""
    if recipe.model.path is not None:
        return task / recipe.model.path
    if recipe.model.hub is not None:
        return _from_hub(recipe.model.hub, here)
    return _from_scratch(recipe, task, checkpoints, here, seed)


def tokenizer(recipe: Recipe, start: Path, lines: Sequence[Example]) -> Any:
    """The model's tokenizer. Raises BadRecipe if there is none, or a prompt and its completion are too long."""
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
        raise BadRecipe([f"grpo.completion_tokens: {tokens} do not fit: {room}; lower it, or shorten the prompts"])
    return words


def unloadable(recipe: Recipe, error: Exception) -> BadRecipe:
    """What to say of a model that the libraries cannot load."""
    key, name = ("path", recipe.model.path) if recipe.model.path else ("hub", recipe.model.hub)
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    return BadRecipe([f"model.{key}: {name} cannot be loaded: {first}"])


def _from_hub(name: str, here: World) -> Path:
    """One rank of each node downloads; the others read what it left."""
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
        # Weights in other formats would be downloaded for nothing.
        ignored = ["*.pth", "*.gguf", "*.onnx", "*.msgpack", "*.h5", "original/*"]
        return Path(snapshot_download(name, ignore_patterns=ignored)), ""
    except HFValidationError:
        return Path(), f"{name!r} is no id; ids look like Qwen/Qwen2.5-0.5B"
    except RepositoryNotFoundError:
        return Path(), f"there is no {name}, or it needs a token (HF_TOKEN)"
    except (LocalEntryNotFoundError, OSError):
        remedy = "copy the model into a folder that the run sees and name it in model.path, or give the run a network"
        return Path(), f"{name} is not in the local cache and cannot be downloaded from here: {remedy}"


def _from_scratch(recipe: Recipe, task: Path, checkpoints: Path, here: World, seed: int) -> Path:
    if recipe.warm_start is None:
        made = checkpoints / "start"
        if here.first:
            # Anew in each attempt: the seed makes it the same, and a kill may have left half of it.
            assert recipe.model.scratch is not None
            shutil.rmtree(made, ignore_errors=True)
            scratch.save(made, scratch.model(recipe.model.scratch, seed), scratch.tokenizer(recipe.model.scratch))
        world.wait(here)
        return made
    found = world.told(here, _warm_start(recipe, task, checkpoints) if here.first else Path())
    if world.any_of(here, flag=not warm_start.is_complete(found)):
        # Another node does not see the first one's cache. All see the checkpoints.
        found = world.told(here, warm_start.ensure(recipe, task, checkpoints) if here.first else Path())
    return found


def _warm_start(recipe: Recipe, task: Path, checkpoints: Path) -> Path:
    try:
        return warm_start.ensure(recipe, task, warm_start.cache(os.environ))
    except OSError:  # a cache that cannot be written to
        return warm_start.ensure(recipe, task, checkpoints)
