"""Trainings that cannot go on, and models that come from elsewhere: what is said, and with which exit code."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.images.trainer import tasks
from tests.images.trainer.attempts import Ended, attempt_of_ranks, environment, steps, weights

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)  # several processes, which share the cores

OWN = {"file": "reward.py", "function": "reward"}
REVISION = "0123456789abcdef0123456789abcdef01234567"
# The trainer's own scratch model, as somebody may have saved one; and one whose weights have grown without bounds.
MODELS = """
import sys
from pathlib import Path
from rloop_trainer.models import scratch
from rloop_trainer.inputs.recipe import Scratch

told = Scratch(vocabulary="0123456789+=", hidden=16, intermediate=16, layers=1, heads=2, kv_heads=1, positions=8)
model, words = scratch.model(told, 5), scratch.tokenizer(told)
scratch.save(Path(sys.argv[1]), model, words)
model.lm_head.weight.data *= 1e40
scratch.save(Path(sys.argv[2]), model, words)
"""
# A GPU that is full, in training or after it: what torch raises then, brought in by the file that a user may bring.
FULL = """
import torch
import transformers

def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB.")

def reward(completion, answer):
    return sum(letter in "01234" for letter in completion) / 3

"""
IN_TRAINING = f"{FULL}from trl import GRPOTrainer\nGRPOTrainer.training_step = full\n"
AFTER_IT = f"{FULL}transformers.AutoModelForCausalLM.from_pretrained = full\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stops")


def recipes(root: Path) -> Mapping[str, Callable[[], list[Ended]]]:
    """A name, and the attempt that belongs to it."""
    rewards = {"full": IN_TRAINING, "full-after": AFTER_IT}

    def trained(
        name: str, changes: Mapping[str, object], ranks: int = 1, **variables: str
    ) -> Callable[[], list[Ended]]:
        recipe = tasks.write(root / name / "task", {"grpo.steps": 2, **changes})
        if name in rewards:
            (recipe.parent / "reward.py").write_text(rewards[name])
        return lambda: attempt_of_ranks(recipe, root / name, ranks, 7, None, **variables)

    cache = {"HF_HOME": str(root / "cache"), "HF_HUB_OFFLINE": "1"}
    model = str(root / "model")
    return {
        "diverged": trained("diverged", {"model": {"path": str(root / "largest")}, "reward": OWN}, ranks=2),
        "collapsed": trained("collapsed", {"grpo.learning_rate": 10, "grpo.steps": 100, "reward": OWN}),
        "wrong": trained("wrong", {"reward": {**OWN, "function": "wrong"}}),
        "path": trained("path", {"model": {"path": model}, "reward": OWN, "metric": "low-digits"}),
        "hub": trained("hub", {"model": {"hub": "somebody/sums"}, "reward": OWN}, 1, **cache),
        "no-hub": trained("no-hub", {"model": {"hub": "somebody/others"}}, 1, **cache),
        "no-id": trained("no-id", {"model": {"hub": "some body/sums"}}, 1, **cache),
        "long": trained("long", {"model": {"path": model}, "grpo.completion_tokens": 5}),
        "cut": trained("cut", {"model": {"path": str(root / "cut-model")}}),
        "full": trained("full", {"reward": OWN}),
        "full-after": trained("full-after", {"reward": OWN}),
    }


@pytest.fixture(scope="module")
def ends(root: Path) -> Mapping[str, list[Ended]]:
    model = root / "model"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", MODELS, model, root / "largest"], env=environment(), check=True
    )
    shutil.copytree(model, root / "cut-model")
    (root / "cut-model/model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-100])
    # As the hub's own client leaves it.
    cached = root / "cache/hub/models--somebody--sums"
    shutil.copytree(model, cached / "snapshots" / REVISION)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(REVISION)
    with ThreadPoolExecutor(3) as pool:
        runs = {name: pool.submit(run) for name, run in recipes(root).items()}
    return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("diverged", 3, "stopped: step 1: loss is nan: the training has diverged; lower grpo.learning_rate, or give"),
        ("collapsed", 3, "stopped: step "),
        ("wrong", 3, "stopped: reward.py: wrong("),
        ("no-hub", 2, "model.hub: somebody/others is not in the local cache and cannot be downloaded from here: copy"),
        ("no-id", 2, "model.hub: 'some body/sums' is not a model id; ids look like Qwen/Qwen2.5-0.5B"),
        (
            "long",
            2,
            "grpo.completion_tokens: 5 are too many: the model has 8 positions, and the longest prompt takes 4",
        ),
        ("cut", 2, "model.path: "),
        (
            "full",
            3,
            "stopped: the GPU is too small: CUDA out of memory. Tried to allocate 2.00 GiB; lower grpo.batch or",
        ),
        ("full-after", 0, "done: no value is reported: the GPU has no memory for the exported model"),
    ],
)
def test_how_it_ends(ends: Mapping[str, list[Ended]], name: str, code: int, sentence: str) -> None:
    for end in ends[name]:  # all ranks see the same numbers, and end by themselves
        assert end.code == code, end.log
        assert end.log.splitlines()[-1].startswith(sentence), end.log
        assert "Traceback" not in end.log


def test_a_learning_rate_beyond_reason_leaves_nothing_to_learn(root: Path, ends: Mapping[str, list[Ended]]) -> None:
    assert "all completions of a group had the same reward" in ends["collapsed"][0].log
    assert "lower grpo.learning_rate" in ends["collapsed"][0].log
    assert steps(root / "collapsed")[-1]["step"] >= 50
    assert not (root / "collapsed/artifacts/claims.json").exists()


def test_a_reward_that_fails_is_named_with_what_it_was_given(ends: Mapping[str, list[Ended]]) -> None:
    assert ends["wrong"][0].log.splitlines()[-1].endswith("raised ZeroDivisionError: division by zero")


def test_a_loss_that_is_no_number_is_no_line_of_progress(root: Path, ends: Mapping[str, list[Ended]]) -> None:
    assert [set(line) & {"loss", "grad_norm"} for line in steps(root / "diverged")] == [set()]


def test_a_folder_of_weights_is_trained(root: Path, ends: Mapping[str, list[Ended]]) -> None:
    assert ends["path"][0].code == 0, ends["path"][0].log
    assert [line["step"] for line in steps(root / "path")] == [1, 2]
    before = (root / "model/model.safetensors").read_bytes()
    assert (root / "path/artifacts/model/model.safetensors").read_bytes() != before
    assert not (root / "path/checkpoints/start").exists()


def test_a_model_of_the_hub_needs_no_network_where_it_is_cached(root: Path, ends: Mapping[str, list[Ended]]) -> None:
    assert ends["hub"][0].code == 0, ends["hub"][0].log
    assert weights(root / "hub") == weights(root / "path")  # it is the same one


def test_a_model_is_worth_more_than_a_claim(root: Path, ends: Mapping[str, list[Ended]]) -> None:
    artifacts = root / "full-after/artifacts"
    assert ends["full-after"][0].code == 0
    assert sorted(path.name for path in artifacts.iterdir()) == ["manifest.json", "model", "progress.jsonl"]
