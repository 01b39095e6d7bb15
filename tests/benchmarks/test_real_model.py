"""The campaigns of `make demo-model`, as far as they need no model."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from benchmarks.real_model import campaigns
from benchmarks.real_model.model import MODELS, ROOT

from rloop.api.researchloop import ResearchLoop
from rloop_operator.user_files.reading import read_folders


@pytest.mark.parametrize("task", campaigns.TASKS)
@pytest.mark.parametrize("agent", campaigns.AGENTS)
def test_a_campaign_is_valid(tmp_path: Path, task: str, agent: str) -> None:
    file = campaigns.files(task, tmp_path)
    document = yaml.safe_load(file.read_text())
    document["spec"]["agent"] = campaigns.agent(agent, 1)
    loop = ResearchLoop.model_validate(document)
    assert not read_folders(loop, file.parent).problems
    assert (loop.spec.agent.llm is None) == (agent == "policy")
    assert (loop.spec.agent.policy is None) == (agent == "llm")


def test_what_came_of_a_campaign_is_read_from_its_folder(tmp_path: Path) -> None:
    limits = campaigns.Limits(runs=40, sessions=2, minutes=1)
    row = campaigns.run("centre", "policy", 1, "http://127.0.0.1:9/v1", tmp_path, limits)
    assert (row.task, row.agent, row.seed, row.tokens) == ("centre", "policy", 1, 0)
    assert row.sessions >= 1
    assert 0 < row.playing <= row.sessions
    assert 0 < row.experiments <= campaigns.MAX_EXPERIMENTS * (row.sessions + 1)
    assert 5 < row.runs <= 40
    assert row.baseline is not None
    assert row.best is not None
    assert (row.keeps > 0) == (row.best < row.baseline)


def test_each_model_has_a_lock_with_hashes() -> None:
    for model in MODELS.values():
        lock = (ROOT / "requirements" / model.lock).read_text()
        assert "xllamacpp==" in lock
        assert lock.count("==") <= lock.count("--hash=sha256:")
