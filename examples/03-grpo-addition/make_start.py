"""Make task/start again: a supervised start by the trainer, its weights in half the bytes.

    .venv/bin/python examples/03-grpo-addition/make_start.py

Kept in the repository, so that every run is reinforcement learning only, and because what `kubectl apply` brings to a
cluster may have 256 KiB: hence 64 wide, and bfloat16. Another machine may round otherwise, so a start that is made
again need not be the same to the last digit.
"""

import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.models import warm_start

TASK = Path(__file__).parent / "task"
RECIPE = {
    "model": {
        "scratch": {
            "vocabulary": "0123456789+=",
            "hidden": 64,
            "intermediate": 128,
            "layers": 2,
            "heads": 4,
            "kv_heads": 2,
            "positions": 16,
        }
    },
    "warm_start": {"file": "train.jsonl", "steps": 650, "batch": 64, "learning_rate": 0.002, "seed": 4},
    "data": {"train": "train.jsonl"},
    "grpo": {"steps": 100, "learning_rate": 0.001, "batch": 128, "group": 8, "completion_tokens": 3},
}


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = warm_start.ensure(Recipe.model_validate(RECIPE), TASK, Path(folder))
        start = TASK / "start"
        shutil.rmtree(start, ignore_errors=True)
        AutoModelForCausalLM.from_pretrained(made, dtype=torch.bfloat16).save_pretrained(start)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(made / name, start / name)
        for file in start.iterdir():
            file.chmod(0o644)


main()
