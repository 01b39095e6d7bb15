"""A supervised start for a scratch model: made once, and kept in a cache that all runs share.

Called by `rloop_trainer.models.start_model` and by `--warm-start`. Reinforcement learning of a model that is never
right learns nothing. A warm start made by each run would take most of its time and differ between runs.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rloop_trainer import checkpoints
from rloop_trainer.inputs import examples
from rloop_trainer.inputs.examples import Example
from rloop_trainer.inputs.recipe import Recipe
from rloop_trainer.models import scratch

FORMAT = 1
"""Part of the key: increase it if a change of this file changes the model."""
MARKER = "complete.json"


def cache(environment: Mapping[str, str]) -> Path:
    """The folder of all warm starts: $TRAINER_CACHE, or rloop-trainer in the user's cache folder."""
    if environment.get("TRAINER_CACHE"):
        return Path(environment["TRAINER_CACHE"])
    home = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "/tmp") / ".cache")  # noqa: S108  # only where HOME is not set
    return Path(home) / "rloop-trainer"


def key(recipe: Recipe, file: bytes) -> str:
    """Name of the warm start: a hash of everything that determines it."""
    assert recipe.warm_start is not None
    assert recipe.model.scratch is not None
    made_of = {
        "format": FORMAT,
        "scratch": recipe.model.scratch.model_dump(),
        "warm_start": recipe.warm_start.model_dump(exclude={"file"}),
        "file": hashlib.sha256(file).hexdigest(),
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:24]


def is_complete(folder: Path) -> bool:
    """Whether a warm start is complete: its marker is written last, and the folder is renamed after that."""
    return (folder / MARKER).is_file()


def ensure(recipe: Recipe, task: Path, parent: Path) -> Path:
    """The folder of the warm start below `parent`, created if missing. Raises OSError if it cannot be created."""
    assert recipe.warm_start is not None
    file = task / recipe.warm_start.file
    folder = parent / key(recipe, file.read_bytes())
    if is_complete(folder):
        return folder
    parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(parent / f"{folder.name}.lock"):
        if not is_complete(folder):
            _make(recipe, examples.load(file), folder)
    return folder


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Concurrent runs wait for one of them instead of each making the same warm start."""
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _make(recipe: Recipe, lines: list[Example], folder: Path) -> None:
    assert recipe.model.scratch is not None
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        words = scratch.tokenizer(recipe.model.scratch)
        made, loss = _train(recipe, lines, words)
        scratch.save(unfinished, made, words)
        (unfinished / MARKER).write_text(json.dumps({"format": FORMAT, "loss": loss}) + "\n")
        unfinished.chmod(0o755)
        checkpoints.flush(unfinished)
        shutil.rmtree(folder, ignore_errors=True)  # without a marker: another run's interrupted copy
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _train(recipe: Recipe, lines: list[Example], words: Any) -> tuple[Any, float]:
    """The trained model and its last loss: the cross-entropy of answer and end, given the prompt."""
    import torch
    from torch.nn.functional import cross_entropy

    told, model_of = recipe.warm_start, recipe.model.scratch
    assert told is not None
    assert model_of is not None
    made = scratch.model(model_of, told.seed)
    inputs, targets = _tensors(lines, words)
    chance = torch.Generator().manual_seed(told.seed)
    optimizer = torch.optim.AdamW(made.parameters(), lr=told.learning_rate)
    loss = torch.tensor(float("nan"))
    made.train()
    for _ in range(told.steps):
        chosen = torch.randint(len(lines), (told.batch,), generator=chance)
        logits = made(input_ids=inputs[chosen], use_cache=False).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), targets[chosen][:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return made.eval(), round(loss.item(), 4)


def _tensors(lines: list[Example], words: Any) -> tuple[Any, Any]:
    """Token ids, padded on the right, and targets, -100 (no loss) on prompt and padding; both (lines, longest)."""
    import torch

    prompts = words([line.prompt for line in lines])["input_ids"]
    answers = words([line.answer for line in lines])["input_ids"]
    end = words.eos_token_id
    longest = max(len(prompt) + len(answer) + 1 for prompt, answer in zip(prompts, answers, strict=True))
    inputs = torch.full((len(lines), longest), words.pad_token_id)
    targets = torch.full((len(lines), longest), -100)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = [*prompt, *answer, end]
        inputs[row, : len(whole)] = torch.tensor(whole)
        targets[row, len(prompt) : len(whole)] = torch.tensor([*answer, end])
    return inputs, targets
