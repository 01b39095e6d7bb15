"""Example 04 and `make demo-llm`: whole campaigns with the model's agent, and a script in the model's place."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.examples.runner import EXAMPLES
from tests.models.demo import RLOOP, manifest
from tests.models.server import ModelServer

from rloop.api.iteration import ResearchIteration
from rloop.errors import RloopError
from rloop_operator.cli.sources.read_folder import look

EXAMPLE = EXAMPLES / "04-llm"
KEY = "sk-marker-of-this-test-0815"


def test_the_task_is_that_of_example_01() -> None:
    for folder in ("task", "evaluation"):
        for file in (EXAMPLE / folder).iterdir():
            assert file.read_bytes() == (EXAMPLES / "01-kuhn-selfplay" / folder / file.name).read_bytes(), file.name
    assert not (EXAMPLE / "task" / "space.yaml").exists()


def start(file: Path, folder: Path, url: str) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "RLOOP_LLM_URL": url, "RLOOP_LLM_KEY": KEY}
    command = [sys.executable, "-c", RLOOP, "run", str(file), "--dir", str(folder / "run"), "--seed", "1"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_variables_are_enough(tmp_path: Path, models: ModelServer) -> None:
    """The campaign as it is, but for the model's name and a budget that ends it soon."""
    document = yaml.safe_load((EXAMPLE / "loop.yaml").read_text())
    spec = document["spec"]
    spec["agent"]["llm"]["model"] = "tinkerer"
    spec["budget"]["experiments"] = 3
    spec["task"]["path"] = os.path.relpath(EXAMPLE / "task", tmp_path)
    spec["evaluation"]["code"]["path"] = os.path.relpath(EXAMPLE / "evaluation", tmp_path)
    file = tmp_path / "loop.yaml"
    file.write_text(yaml.safe_dump(document))
    with start(file, tmp_path, models.url) as campaign:
        printed, _ = campaign.communicate(timeout=100)
    assert campaign.returncode == 3, printed
    found = look(tmp_path / "run").snapshot
    assert sum(one.spec.kind == "Candidate" for one in found.experiments.values()) == 3
    assert found.loop.status.budget.used.tokens > 0
    (first, *_) = sorted((tmp_path / "run" / "transcripts").rglob("*.jsonl"))
    kinds = [json.loads(line)["kind"] for line in first.read_text().splitlines()]
    assert kinds[-1] == "finished"
    assert [one for one in (tmp_path / "run").rglob("*") if one.is_file() and KEY.encode() in one.read_bytes()] == []


def test_a_campaign_whose_model_only_rewords_runs_nothing_after_the_pivot(tmp_path: Path, models: ModelServer) -> None:
    """Through the processes of a real campaign: gateway and proxy over HTTP."""
    file = manifest("reworder", tmp_path)
    document = yaml.safe_load(file.read_text())
    document["spec"]["stall"]["pivotAfter"] = 1
    document["spec"]["agent"] |= {"maxRounds": 3, "maxExperiments": 1}
    file.write_text(yaml.safe_dump(document))
    with start(file, tmp_path, models.url) as campaign:
        while campaign.poll() is None and len(_settled_after_the_pivot(tmp_path / "run")) < 2:
            time.sleep(0.2)
        campaign.send_signal(signal.SIGINT)
        printed, _ = campaign.communicate(timeout=60)
    assert campaign.returncode == 130, printed
    found = look(tmp_path / "run").snapshot
    before = [one for one in found.experiments.values() if one.spec.kind == "Candidate"]
    assert before, "until then the same script has its experiments"
    opened = {one.spec.number: one.spec.pivots for one in found.iterations.values()}
    assert {opened[one.spec.iteration] for one in before} == {0}
    after = [one for one in found.iterations.values() if one.spec.pivots == 1]
    assert [one for one in after if one.status.reported.directions] == []


def _settled_after_the_pivot(folder: Path) -> list[ResearchIteration]:
    try:
        iterations = look(folder).snapshot.iterations.values()
    except RloopError:  # not there yet
        return []
    return [one for one in iterations if one.spec.pivots == 1 and one.status.phase == "Settled"]


@pytest.fixture
def models() -> object:
    from tests.images.agent.llm.conftest import serving

    with serving(ModelServer(key=KEY)) as server:
        yield server
