"""Writes the artifacts of a run: the model, its claim, and a manifest.

Called by `rloop_trainer.run` after the last step. The claim is measured with the exported model, loaded from the folder
as the verifier will load it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from rloop_trainer.inputs.examples import Example
from rloop_trainer.reward import Judge

CLAIMED_LINES = 1024
"""Maximum number of training lines for the claim: the first ones."""
CLAIM_BATCH = 256


def model(trainer: Any, artifacts: Path, *, first: bool) -> None:
    """Write model/ in float32. All ranks must call it, because a sharded model is gathered first."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not first:
        return
    unfinished, folder = artifacts / "model.unfinished", artifacts / "model"
    for leftover in (unfinished, folder):
        shutil.rmtree(leftover, ignore_errors=True)
    weights = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in weights.items()}
    bare = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    bare.config.dtype = torch.float32
    bare.save_pretrained(unfinished, state_dict=weights)
    trainer.processing_class.save_pretrained(unfinished)
    unfinished.rename(folder)


def claim(artifacts: Path, metric: str, lines: Sequence[Example], judge: Judge, tokens: int) -> float | None:
    """Write claims.json with the mean reward of the exported model's greedy completions, without reward noise.

    Returns None and writes no file if the GPU has not enough memory: the trained model is kept, as it matters more.
    """
    try:
        value = _reward(artifacts, lines, judge, tokens)
    except torch.OutOfMemoryError:
        return None
    _write(artifacts / "claims.json", {metric: value})
    return value


def _reward(artifacts: Path, lines: Sequence[Example], judge: Judge, tokens: int) -> float:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # otherwise ZeRO 3 would shard this model too, among ranks that have ended
    device = "cuda" if torch.cuda.is_available() else "cpu"
    exported = AutoModelForCausalLM.from_pretrained(artifacts / "model", dtype=torch.float32).to(device).eval()
    words = AutoTokenizer.from_pretrained(artifacts / "model", padding_side="left")
    rewards: list[float] = []
    for begin in range(0, min(len(lines), CLAIMED_LINES), CLAIM_BATCH):
        chosen = lines[begin : min(begin + CLAIM_BATCH, CLAIMED_LINES)]
        asked = words([line.prompt for line in chosen], return_tensors="pt", padding=True).to(device)
        with torch.no_grad():
            said = exported.generate(**asked, max_new_tokens=tokens, do_sample=False)
        completions = words.batch_decode(said[:, asked["input_ids"].shape[1] :], skip_special_tokens=True)
        rewards += [judge(completion, line.answer) for completion, line in zip(completions, chosen, strict=True)]
    return sum(rewards) / len(rewards)


def manifest(artifacts: Path) -> None:
    """Write manifest.json, as the last file: size and sha256 of every other file."""
    files = sorted(file for file in artifacts.rglob("*") if file.is_file() and file.name != "manifest.json")
    listed = {}
    for file in files:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        listed[file.relative_to(artifacts).as_posix()] = {"size": file.stat().st_size, "sha256": digest}
    _write(artifacts / "manifest.json", {"files": listed})


def _write(path: Path, document: object) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)
