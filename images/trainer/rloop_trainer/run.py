"""One attempt of a run, from a validated recipe to the artifacts.

Called by `rloop_trainer.__main__` on every rank, after the checks that need no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from rloop_trainer import checkpoints, reward, world, zero
from rloop_trainer.checkpoints import Maker
from rloop_trainer.inputs import examples
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.models import start_model
from rloop_trainer.progress import Progress
from rloop_trainer.stops import Sigterm, TrainingFailed
from rloop_trainer.world import World


@dataclass(frozen=True, slots=True)
class Place:
    """Folders and seed, as given by the task's contract."""

    task: Path
    """Folder of the recipe."""
    artifacts: Path
    checkpoints: Path
    seed: int


def run(recipe: Recipe, place: Place, here: World, sigterm: Sigterm) -> bool:
    """Train and export. Returns False if SIGTERM ended it, with a checkpoint.

    Raises BadRecipe for errors that only model and data reveal, TrainingFailed for a recipe that cannot learn.
    """
    judge = reward.judge(recipe.reward, place.task)
    lines = examples.load(place.task / recipe.data.train)
    _quiet()
    world.join(here, deepspeed=recipe.distributed.zero is not None)
    start = start_model.folder(recipe, place.task, place.checkpoints, here, place.seed)
    words = start_model.tokenizer(recipe, start, lines)
    maker = Maker(_hash(recipe, place.seed), here.size, recipe.distributed.zero)
    resume = world.told(here, _resume(place.checkpoints, maker) if here.first else None)

    # Slow imports; after the start model, so that its errors are reported sooner.
    import torch
    from safetensors import SafetensorError

    from rloop_trainer.models import export
    from rloop_trainer.training import Job, Trainer, Watch

    job = Job(recipe, place.seed, start, place.checkpoints, resume, here, maker)
    rewards = reward.noisy(judge, recipe.reward.flip, place.seed, here.rank)
    zero.prepare(recipe.distributed)
    try:
        trainer = Trainer(job, lines, rewards, words)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if recipe.model.scratch is not None:
            raise  # not the recipe's fault
        raise start_model.unloadable(recipe, error) from error
    progress = Progress(place.artifacts, checkpoints.step(resume) if resume else 0) if here.first else None
    watch = Watch(job, sigterm, progress)
    trainer.add_callback(watch)
    sigterm.within_steps = True
    try:
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    except torch.OutOfMemoryError as error:
        what = str(error).partition(" GPU ")[0].rstrip(".")  # addresses, sizes and advice for programmers follow
        remedy = "lower grpo.batch or grpo.completion_tokens, or give it more ranks and distributed.zero"
        raise TrainingFailed(f"the GPU is too small: {what}; {remedy}") from None
    if watch.stopped:
        return False
    export.model(trainer, place.artifacts, first=here.first)
    if progress is not None:
        progress.close()
        value = export.claim(place.artifacts, recipe.claimed, lines, judge, recipe.grpo.completion_tokens)
        export.manifest(place.artifacts)
        print(f"done: {_said(recipe.claimed, value)}", flush=True)
    return True


def _said(metric: str, value: float | None) -> str:
    if value is None:
        return "no value is reported: the GPU has no memory for the exported model next to the trained one"
    return f"{metric} {value:.4f} on the training data, as claimed"


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
        print(f"continuing after step {checkpoints.step(found)}, from {found.name}", flush=True)
    elif said:
        print("no usable checkpoint: starting from the beginning", flush=True)
    return found


def _hash(recipe: Recipe, seed: int) -> str:
    """Hash of everything that determines the training steps."""
    made_of = {"seed": seed, **recipe.model_dump(exclude={"checkpoint", "metric"})}
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
