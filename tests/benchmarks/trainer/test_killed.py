"""The campaign of kills tells a trainer that trusts half a checkpoint from one that does not; no torch is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.trainer import __main__, killed
from benchmarks.trainer.killed import Run
from benchmarks.trainer.runs import Task

FAKE = '''
"""Writes files as our trainer does, slowly; {trusting}: takes the newest folder, sealed or not."""
import hashlib, json, os, time
from pathlib import Path

artifacts, checkpoints = Path(os.environ["RLOOP_ARTIFACTS"]), Path(os.environ["RLOOP_CHECKPOINTS"])
folders = {{int(one.name.split("-")[1]): one for one in checkpoints.glob("checkpoint-*")}}
after = max((step for step, one in folders.items() if {trusting} or (one / "complete.json").exists()), default=0)
if after:
    print(f"continuing after step {{after}}, from checkpoint-{{after}}", flush=True)
progress = artifacts / "progress.jsonl"
lines = progress.read_text().splitlines(keepends=True) if progress.exists() else []
progress.write_text("".join(line for line in lines if json.loads(line)["step"] <= after))
with progress.open("a", buffering=1) as stream:
    for step in range(after + 1, 21):
        stream.write(json.dumps({{"step": step}}) + "\\n")
        folder = checkpoints / f"checkpoint-{{step}}"
        folder.mkdir(exist_ok=True)
        (folder / "complete.json").unlink(missing_ok=True)
        (folder / "state").write_bytes(b"half")
        time.sleep(0.05)
        (folder / "state").write_bytes(b"half and half")
        seal = {{"files": {{"state": {{"size": 13, "sha256": hashlib.sha256(b"half and half").hexdigest()}}}}}}
        (folder / "seal.tmp").write_text(json.dumps(seal))
        (folder / "seal.tmp").rename(folder / "complete.json")
(artifacts / "model").mkdir(exist_ok=True)
(artifacts / "model" / "model.safetensors").write_bytes(b"weights")
'''


def campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, trusting: bool) -> list[Run]:
    (tmp_path / "fake_trainer.py").write_text(FAKE.format(trusting=trusting))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(killed, "TRAINER", "fake_trainer")
    monkeypatch.setattr(killed, "DELAYS", {"save": 0.2, "steps": 0.2, "start": 0.3})
    task = Task(tmp_path, {"grpo": {"steps": 20}}, tmp_path)
    return killed.runs(task, tmp_path / "kills", 9, seed=1)


def test_a_trainer_that_looks_for_the_seal_meets_every_goal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = campaign(tmp_path, monkeypatch, trusting=False)
    figures, goals = __main__.kills(runs)
    assert [goal.name for goal in goals if not goal.met] == []
    assert sum(figures["kills"].values()) == 9
    assert figures["resumes"] >= 1
    assert runs[0].kills == []


def test_a_trainer_that_trusts_half_a_checkpoint_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, goals = __main__.kills(campaign(tmp_path, monkeypatch, trusting=True))
    assert "half-written checkpoints loaded" in [goal.name for goal in goals if not goal.met]
