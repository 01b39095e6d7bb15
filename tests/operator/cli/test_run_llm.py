"""`rloop run` with an agent of a language model: the proxy between it and its provider, and where the key is not."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest
import yaml
from tests.models.server import ModelServer

from rloop_operator.cli.sources.read_folder import look

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]
KEY = "sk-marker-4711-abcdefghij"
LLM = {"llm": {"provider": "main", "model": "researcher"}, "maxRounds": 8}
# The value improves with the rate; the environment of a run is part of what it leaves.
TRAIN = 'grep -o "[0-9.]*" recipe.json | head -1 >"$RLOOP_ARTIFACTS/loss"; env >"$RLOOP_ARTIFACTS/environment"'


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    """A scripted one, not a language model; it wants the key."""
    with ModelServer(key=KEY) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_two_variables_are_enough_and_the_key_stays_with_the_proxy(
    rloop: Rloop, example: Example, tmp_path: Path, provider: ModelServer
) -> None:
    file = example(TRAIN, agent=LLM, budget__runs=12, budget__experiments=3, budget__tokens=500_000)
    done = rloop("run", file, HOME=str(tmp_path), RLOOP_LLM_URL=provider.url, RLOOP_LLM_KEY=KEY)
    assert done.returncode == 3, done.stderr + done.stdout
    iterations = look(tmp_path / "runs/demo").snapshot.iterations.values()
    usages = [one for it in iterations for one in it.status.reported.usage]
    assert sum(one.calls for one in usages) == provider.calls["researcher"] > 3
    assert all(one.input_tokens > 100 and one.output_tokens > 0 for one in usages if one.calls)
    assert all((one.held_tokens, one.waiting, one.cost) == (0, None, "0") for one in usages)
    told = look(tmp_path / "runs/demo").snapshot.loop.status.budget.used
    assert told.tokens == sum(one.input_tokens + one.output_tokens for one in usages)
    assert list((tmp_path / "runs/demo/transcripts").glob("demo-i*-s1/*"))
    files = [one for one in (tmp_path / "runs").rglob("*") if one.is_file()]
    assert any(one.name == "environment" for one in files)
    assert [one for one in files if KEY.encode() in one.read_bytes()] == []


def test_an_optimiser_beside_the_model_chooses_the_numbers(
    rloop: Rloop, example: Example, tmp_path: Path, provider: ModelServer
) -> None:
    both = {**LLM, "policy": {"name": "tpe", "seed": 2}, "maxExperiments": 3}
    file = example(TRAIN, agent=both, budget__runs=12, budget__experiments=3, budget__tokens=500_000)
    done = rloop("run", file, HOME=str(tmp_path), RLOOP_LLM_URL=provider.url, RLOOP_LLM_KEY=KEY)
    assert done.returncode == 3, done.stderr + done.stdout
    proposed = [
        one for one in look(tmp_path / "runs/demo").snapshot.experiments.values() if one.spec.kind == "Candidate"
    ]
    assert len(proposed) == 3
    assert all("[tpe: rate=" in one.spec.title for one in proposed)
    assert "researcher with tpe" in rloop("report", "--dir", tmp_path / "runs/demo").stdout


def test_a_provider_that_is_down_is_told_and_so_is_its_return(
    rloop: Rloop, example: Example, tmp_path: Path, provider: ModelServer
) -> None:
    llm = {**LLM, "llm": {"provider": "main", "model": "researcher+not-a-modelx1"}}
    file = example(TRAIN, agent=llm, budget__runs=12, budget__experiments=1, budget__tokens=500_000)
    done = rloop("run", file, HOME=str(tmp_path), RLOOP_LLM_URL=provider.url, RLOOP_LLM_KEY=KEY)
    assert done.returncode == 3, done.stderr + done.stdout
    waiting = done.stdout.index('waiting     i0001-s1: provider "main"')
    assert waiting < done.stdout.index("resumed     WaitingForLLM has ended")


def test_after_ctrl_c_nothing_is_told_as_spent_that_was_only_set_aside(example: Example, tmp_path: Path) -> None:
    file = example(TRAIN, agent=LLM, budget__runs=12, budget__tokens=500_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "rloop_operator.cli", "run", str(file)],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RLOOP_LLM_URL": "http://127.0.0.1:9/v1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "iteration   i0001 opens" in line:
            break
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=90)
    assert process.returncode == 130
    assert ", 0 of 500000 tokens" in told


def test_a_provider_that_is_not_configured_is_exit_2_with_the_remedy_and_leaves_nothing(
    rloop: Rloop, example: Example, tmp_path: Path
) -> None:
    done = rloop("run", example(agent=LLM), HOME=str(tmp_path))
    assert done.returncode == 2
    assert 'spec.agent.llm.provider: there is no provider "main" on this machine' in done.stderr
    assert "RLOOP_LLM_URL" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_model_without_a_name(rloop: Rloop, example: Example, tmp_path: Path) -> None:
    file = example(agent={"llm": {"provider": "main", "model": ""}})
    done = rloop("validate", file, HOME=str(tmp_path))
    assert (done.returncode, "spec.agent.llm.model" in done.stderr, "Validation" in done.stderr) == (2, True, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"name": "other"},
            'there is no provider "main" on this machine; there are other: add it',
        ),
        ({"models": [{"name": "bigger"}]}, 'spec.agent.llm.model: provider "main" has no "researcher"; it has bigger'),
        ({"namespaces": ["team-*"]}, 'spec.agent.llm.provider: provider "main" is not available in namespace default'),
        ({"limits": {"costPerHour": "1"}}, "spec.budget.cost: the cost is limited"),
        ({"keyEnv": "NO_SUCH"}, 'provider "main": the environment variable NO_SUCH is unset or empty'),
        ({"keyFile": "/no/such/key"}, 'spec.agent.llm.provider: provider "main": keyFile /no/such/key'),
        ({"url": "http://me:mine@127.0.0.1:1/v1"}, "providers[0].url: contains credentials"),
    ],
)
def test_what_the_configuration_does_not_give_is_told_before_anything_runs(
    rloop: Rloop, example: Example, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / ".config/rloop/providers.yaml"
    path.parent.mkdir(parents=True)
    one = {"name": "main", "url": "http://127.0.0.1:1/v1", "models": [{"name": "researcher"}]}
    path.write_text(yaml.safe_dump({"providers": [one | change]}))
    file = example(agent=LLM)
    for command in ("run", "validate"):
        done = rloop(command, file, HOME=str(tmp_path))
        assert done.returncode == 2
        assert said in done.stderr
        assert "mine" not in done.stderr
    assert not (tmp_path / "runs").exists()
