"""The folder of the model that a run starts from, there for every rank.

Called by `rloop_trainer.run`. Always a folder, also for a scratch model: TRL loads its reference model from where the
policy came from.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rloop_trainer import scratch, warm_start, world
from rloop_trainer.check import BadRecipe
from rloop_trainer.recipe import Recipe
from rloop_trainer.world import World


def folder(recipe: Recipe, task: Path, checkpoints: Path, here: World, seed: int) -> Path:
    """Find, fetch or make it; all ranks call this. Raises BadRecipe, on all ranks, where it cannot be had."""
    if recipe.model.path is not None:
        return task / recipe.model.path
    if recipe.model.hub is not None:
        return _from_hub(recipe.model.hub, here)
    return _from_scratch(recipe, task, checkpoints, here, seed)


def _from_hub(name: str, here: World) -> Path:
    """One rank of each node downloads; the others read what it left."""
    found, wrong = Path(), ""
    for turn in (True, False):
        if (here.local_rank == 0) == turn and not wrong:
            found, wrong = _snapshot(name)
        if world.any_of(here, flag=bool(wrong)):
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
        if here.first and not (made / "config.json").is_file():
            assert recipe.model.scratch is not None
            unfinished = checkpoints / "start.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            scratch.save(unfinished, scratch.model(recipe.model.scratch, seed), scratch.tokenizer(recipe.model.scratch))
            unfinished.rename(made)
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
