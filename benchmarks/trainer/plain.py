"""`python -m benchmarks.trainer.plain RECIPE MODEL OUT`: GRPO as one writes it with TRL alone.

What `benchmarks.trainer` holds our trainer against: it uses nothing of ours, reads its numbers from the same
recipe so that both sides have the same, and saves as TRL saves.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import GRPOConfig, GRPOTrainer


def exact_match(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """1 for the answer, else 0."""
    return [float(said.strip() == right.strip()) for said, right in zip(completions, answer, strict=True)]


def main() -> None:
    """Train, save, done."""
    recipe, model, out = (Path(argument) for argument in sys.argv[1:])
    told = json.loads(recipe.read_text(encoding="utf-8"))
    grpo, checkpoint = told["grpo"], told["checkpoint"]
    lines = (recipe.parent / told["data"]["train"]).read_text(encoding="utf-8").splitlines()
    settings = GRPOConfig(
        output_dir=str(out / "checkpoints"),
        max_steps=grpo["steps"],
        per_device_train_batch_size=grpo["batch"],
        num_generations=grpo["group"],
        max_completion_length=grpo["completion_tokens"],
        learning_rate=grpo["learning_rate"],
        lr_scheduler_type="constant",
        seed=int(os.environ["RLOOP_SEED"]),
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="steps",
        save_steps=checkpoint["every_steps"],
        save_total_limit=checkpoint["keep"],
        report_to="none",
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model=str(model),
        args=settings,
        train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
        reward_funcs=exact_match,
        processing_class=AutoTokenizer.from_pretrained(model, padding_side="left"),
    )
    trainer.train()
    trainer.save_model(str(out / "model"))


if __name__ == "__main__":
    main()
