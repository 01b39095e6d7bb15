"""TRL's GRPOTrainer, configured by the recipe, with atomic checkpoints and a check of each step.

Called by `rloop_trainer.run` on every rank. Added here: the order of the prompts, which depends only on seed and step,
so that a resumed run continues exactly; the seal of a checkpoint; and the check of each step's numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback
from trl import GRPOConfig, GRPOTrainer
from typing_extensions import override

from rloop_trainer import checkpoints, stops, world, zero
from rloop_trainer.checkpoints import Maker
from rloop_trainer.inputs.examples import Example
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.progress import Progress
from rloop_trainer.stops import Sigterm
from rloop_trainer.world import World


@dataclass(frozen=True, slots=True)
class Job:
    """Parameters of one attempt."""

    recipe: Recipe
    seed: int
    start: Path
    """Folder of the model."""
    checkpoints: Path
    resume: Path | None
    here: World
    maker: Maker


def settings(job: Job) -> GRPOConfig:
    """TRL's settings for a recipe."""
    told = job.recipe.grpo
    gpu = torch.cuda.is_available()
    return GRPOConfig(
        output_dir=str(job.checkpoints),
        max_steps=told.steps,
        per_device_train_batch_size=told.batch // job.here.size,
        num_generations=told.group,
        max_completion_length=told.completion_tokens,
        temperature=told.temperature,
        learning_rate=told.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=told.warmup_steps,
        beta=told.beta,
        loss_type=told.loss,
        scale_rewards=told.scale_rewards,
        epsilon=told.epsilon,
        seed=job.seed,
        use_cpu=not gpu,
        bf16=job.recipe.distributed.precision == "bfloat16",
        # It saves memory that a small model does not need, and costs a second forward pass.
        gradient_checkpointing=job.recipe.model.scratch is None,
        # A diverged model then reaches a loss that shows it, instead of an error in the sampling.
        generation_kwargs={"remove_invalid_values": True},
        deepspeed=zero.config(job.recipe.distributed),
        ddp_timeout=world.GROUP_MINUTES * 60,
        ddp_find_unused_parameters=False,
        dataloader_pin_memory=gpu,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # Watch requests saves
        report_to="none",
        disable_tqdm=True,
    )


class Trainer(GRPOTrainer):  # type: ignore[misc]  # TRL is not typed
    """GRPOTrainer with this module's order of prompts and sealed checkpoints."""

    def __init__(self, job: Job, lines: Sequence[Example], rewards: Callable[..., list[float]], words: Any) -> None:
        self.job = job
        super().__init__(
            model=str(job.start),
            args=settings(job),
            train_dataset=Dataset.from_list([line._asdict() for line in lines]),
            reward_funcs=rewards,
            processing_class=words,
        )
        self.remove_callback(PrinterCallback)

    @override
    def _get_train_sampler(self, dataset: Dataset | None = None) -> Sampler[int]:
        told = self.job.recipe.grpo
        return Order(len(self.train_dataset), told.steps, told.batch, told.group, self.job.seed)

    @override
    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        path = checkpoints.folder(self.job.checkpoints, self.state.global_step)
        super()._save_checkpoint(model, trial)
        world.wait(self.job.here)  # until each rank has written its files
        if self.job.here.first:
            checkpoints.seal(path, self.job.maker)
            checkpoints.prune(self.job.checkpoints, self.job.recipe.checkpoint.keep)

    @override
    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write no model card: a checkpoint is not published."""


class Order(Sampler[int]):  # type: ignore[misc]  # torch is not there where types are checked
    """Line numbers of a whole run: each prompt `group` times in a row; the lines are reshuffled after each pass."""

    def __init__(self, lines: int, steps: int, batch: int, group: int, seed: int) -> None:
        self._lines, self._prompts, self._group, self._seed = lines, steps * (batch // group), group, seed

    @override
    def __iter__(self) -> Iterator[int]:
        chance = random.Random(self._seed)
        order: list[int] = []
        for _ in range(self._prompts):
            if not order:
                order = list(range(self._lines))
                chance.shuffle(order)
            line = order.pop()
            for _ in range(self._group):
                yield line

    def __len__(self) -> int:
        return self._prompts * self._group


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """After each step: write its progress line, check its numbers, and request a save or a stop."""

    def __init__(self, job: Job, sigterm: Sigterm, progress: Progress | None) -> None:
        self._job, self._sigterm, self._progress = job, sigterm, progress
        self._said = 0
        self.stopped = False
        """Whether SIGTERM ended the training, on this rank or another."""

    @override
    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            return
        if world.any_of(self._job.here, flag=self._sigterm.asked):
            self.stopped = control.should_training_stop = True
        if self.stopped or state.global_step % self._job.recipe.checkpoint.every_steps == 0:
            control.should_save = True

    @override
    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "reward" not in (logs or {}):
            return  # the summary at the end
        if self._progress is not None:
            self._progress.step(state.global_step, logs)
            tenth = 10 * state.global_step // state.max_steps
            if tenth > self._said:
                self._said = tenth
                print(f"step {state.global_step} of {state.max_steps}: reward {logs['reward']:.3f}", flush=True)
        best = 1.0 if self._job.recipe.reward.name is not None else None
        stops.look(state.global_step, logs, state.log_history, best=best)
