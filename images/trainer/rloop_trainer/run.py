"""One attempt of a run, from a checked recipe to the artifacts.

Called by `rloop_trainer.__main__` on every rank, after the checks that need no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rloop_trainer import checkpoints, examples, reward, start_model, world
from rloop_trainer.check import BadRecipe
from rloop_trainer.checkpoints import Maker
from rloop_trainer.progress import Progress
from rloop_trainer.recipe import Recipe
from rloop_trainer.stops import Sigterm
from rloop_trainer.world import World


@dataclass(frozen=True, slots=True)
class Place:
    """What the task's contract gives."""

    task: Path
    """Folder of the recipe."""
    artifacts: Path
    checkpoints: Path
    seed: int


def run(recipe: Recipe, place: Place, here: World, sigterm: Sigterm) -> bool:
    """Train and export; False if SIGTERM ended it, with a checkpoint.

    Raises BadRecipe for what only a look at model and data could tell, TrainingFailed for a recipe that cannot learn.
    """
    _quiet()
    world.join(here)
    judge = reward.judge(recipe.reward, place.task)
    lines = examples.load(place.task / recipe.data.train)
    start = start_model.folder(recipe, place.task, place.checkpoints, here, place.seed)
    maker = Maker(_hash(recipe, place.seed), here.size, recipe.distributed.zero)
    resume = world.told(here, _resume(place.checkpoints, maker) if here.first else None)

    # Heavy, and after the start model: what is wrong with that is said sooner.
    from rloop_trainer import export
    from rloop_trainer.training import Job, Trainer, Watch

    job = Job(recipe, place.seed, start, place.checkpoints, resume, here, maker)
    rewards = reward.noisy(judge, recipe.reward.flip, place.seed, here.rank)
    trainer = _built(lambda: Trainer(job, lines, rewards, _tokenizer(start)), recipe)
    progress = Progress(place.artifacts, checkpoints.step(resume) if resume else 0) if here.first else None
    watch = Watch(job, sigterm, progress)
    trainer.add_callback(watch)
    sigterm.within_steps = True
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    if watch.stopped:
        return False
    export.model(trainer, place.artifacts, first=here.first)
    if progress is not None:
        progress.close()
        value = export.claim(place.artifacts, recipe.metric, lines, judge, recipe.grpo.completion_tokens)
        export.manifest(place.artifacts)
        print(f"done: {recipe.metric} {value:.4f} on the training data, as claimed", flush=True)
    return True


def _quiet() -> None:
    import logging
    import warnings

    import transformers

    transformers.logging.set_verbosity_error()
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def _resume(folder: Path, maker: Maker) -> Path | None:
    found, said = checkpoints.newest(folder, maker)
    for line in said:
        print(line, flush=True)
    if found is not None:
        print(f"going on after step {checkpoints.step(found)}, from {found.name}", flush=True)
    elif said:
        print("no checkpoint is left: starting from the beginning", flush=True)
    return found


def _hash(recipe: Recipe, seed: int) -> str:
    """Of all that decides the steps."""
    made_of = {"seed": seed, **recipe.model_dump(exclude={"checkpoint", "metric"})}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, padding_side="left")


def _built(make: Any, recipe: Recipe) -> Any:
    """The trainer; a model that cannot be loaded is a problem of the recipe."""
    try:
        return make()
    except (OSError, ValueError, KeyError) as error:
        if recipe.model.scratch is not None:
            raise
        name = recipe.model.path or recipe.model.hub
        key = "path" if recipe.model.path else "hub"
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadRecipe([f"model.{key}: {name} cannot be loaded: {first}"]) from error
