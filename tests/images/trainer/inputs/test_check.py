"""What is said of a recipe: every problem at once, each with its key and its remedy."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.images.trainer import tasks

from rloop_trainer.inputs.check import BadRecipe, checked
from rloop_trainer.inputs.recipe import Recipe


def said(path: Path, ranks: int = 1) -> list[str]:
    with pytest.raises(BadRecipe) as caught:
        checked(path, ranks)
    start = f"{path}: "
    assert all(line.startswith(start) for line in caught.value.lines)
    return [line.removeprefix(start) for line in caught.value.lines]


def test_a_right_recipe_is_read(tmp_path: Path) -> None:
    recipe = checked(tasks.write(tmp_path))
    assert (recipe.grpo.batch, recipe.grpo.loss, recipe.checkpoint.keep) == (16, "dapo", 2)


def test_json_is_read_as_well(tmp_path: Path) -> None:
    tasks.write(tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps(tasks.RECIPE))
    assert checked(tmp_path / "recipe.json") == checked(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"data": None}, "data: is missing"),
        ({"grpo.group": None}, "grpo.group: is missing. Its meaning: Completions of the same prompt, compared with"),
        ({"grpo.steps": None}, "grpo.steps: is missing"),
        ({"grpo": 5}, "grpo: must be a mapping with the keys steps, learning_rate, batch, group, temperature, "),
        ({"grpo.lerning_rate": 1}, "grpo.lerning_rate: unknown key; did you mean learning_rate?"),
        ({"grpo.learning-rate": 1}, "grpo.learning-rate: unknown key; did you mean learning_rate?"),
        ({"steps": 5}, "steps: unknown key; did you mean warm_start.steps?"),
        ({"checkpoint.zzz": 5}, "checkpoint.zzz: unknown key; the keys here are every_steps, keep"),
        ({"grpo.steps": "5"}, 'grpo.steps: "5" is text, not a number: write 5'),
        ({"grpo.steps": 2.5}, "grpo.steps: must be a whole number, not 2.5"),
        ({"grpo.steps": 0}, "grpo.steps: must be at least 1, not 0"),
        ({"grpo.learning_rate": 0}, "grpo.learning_rate: must be greater than 0, not 0"),
        ({"grpo.learning_rate": float("nan")}, "grpo.learning_rate: must be a finite number"),
        ({"grpo.learning_rate": "fast"}, 'grpo.learning_rate: must be a number, not "fast"'),
        ({"grpo.loss": "ppo"}, 'grpo.loss: must be one of grpo, dr_grpo, dapo, bnpo, not "ppo"'),
        ({"grpo.loss": "DAPO"}, "grpo.loss: must be one of grpo, dr_grpo, dapo, bnpo; write dapo: case matters"),
        ({"grpo.scale_rewards": False}, "grpo.scale_rewards: must be one of group, batch, none. YAML reads on, off"),
        ({"distributed.zero": 4}, "distributed.zero: must be at most 3, not 4"),
        (
            {"metric": "exact match"},
            "metric: may contain letters, digits, _, . and -, and must start with a letter or _",
        ),
        ({"grpo.batch": 18}, "grpo.batch: 18 must be divisible by grpo.group, which is 4: write 20"),
        ({"grpo.warmup_steps": 8}, "grpo.warmup_steps: 8 must be less than grpo.steps, which is 8"),
    ],
)
def test_a_value_is_named(tmp_path: Path, changes: Mapping[str, Any], sentence: str) -> None:
    (line,) = said(tasks.write(tmp_path, changes))
    assert line.startswith(sentence)


@pytest.mark.parametrize(
    ("written", "remedy"), [("1e-6", "1.0e-6"), ("1E-6", "1.0e-6"), ("5e-07", "5.0e-07"), ("1e3", "1.0e+3")]
)
def test_a_rate_that_yaml_takes_for_text(tmp_path: Path, written: str, remedy: str) -> None:
    path = tasks.write(tmp_path)
    path.write_text(path.read_text().replace("learning_rate: 0.001", f"learning_rate: {written}"))
    assert said(path) == [
        f'grpo.learning_rate: "{written}" is text, not a number (YAML reads {written} as text): write {remedy}'
    ]
    assert yaml.safe_load(remedy) == float(written)


def test_the_ranks_must_share_the_batch(tmp_path: Path) -> None:
    assert said(tasks.write(tmp_path), ranks=3) == ["grpo.batch: 16 must be divisible by the number of ranks, 3"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {}}, "model: needs exactly one of hub, path and scratch; found none"),
        ({"model.hub": "a/b"}, "model: needs exactly one of hub, path and scratch; found hub and scratch"),
        ({"model": {"path": "gone"}}, "model.path: gone: there is no such folder"),
        ({"model": {"path": "n" * 300}}, f"model.path: {'n' * 300}: cannot be read (File name too long)"),
        ({"model": {"path": "empty"}}, "model.path: empty: has no config.json"),
        ({"model": {"path": "bare"}}, "model.path: bare: has no weights (model.safetensors)"),
        ({"model": {"path": "mute"}}, "model.path: mute: has no tokenizer"),
        ({"model.scratch.vocabulary": "0123456789+=0"}, "model.scratch.vocabulary: '0' occurs twice; remove one"),
        (
            {"model.scratch.hidden": 18},
            "model.scratch.hidden: 18 must be divisible by twice the heads (4): write 20",
        ),
        (
            {"model.scratch.heads": 4, "model.scratch.kv_heads": 3},
            "model.scratch.kv_heads: 3 must divide heads, which is 4",
        ),
        ({"reward": {}}, "reward: needs exactly one of name and file; write name: exact-match"),
        (
            {"reward": {"name": "exact-match", "file": "reward.py", "function": "reward"}},
            "reward: needs exactly one of name and file; write name: exact-match",
        ),
        ({"reward": {"file": "reward.py"}}, "reward: file and function go together; write file: reward.py and"),
        (
            {"reward": {"file": "gone.py", "function": "f"}},
            "reward.file: gone.py: cannot be read (No such file or directory)",
        ),
        ({"reward": {"file": "empty", "function": "f"}}, "reward.file: empty: cannot be read (Is a directory)"),
        (
            {"reward": {"file": "broken.py", "function": "f"}},
            "reward.file: broken.py: is not valid Python: line 2: ",
        ),
        ({"reward": {"file": "latin.py", "function": "f"}}, "reward.file: latin.py: is not UTF-8; save it as UTF-8"),
        (
            {"reward": {"file": "reward.py", "function": "rewards"}},
            "reward.function: reward.py has no function rewards; it has reward, wrong",
        ),
        ({"reward.flip": 1.5}, "reward.flip: must be at most 1.0, not 1.5"),
        ({"warm_start": {"file": "gone.jsonl"}}, "warm_start.file: gone.jsonl: there is no such file"),
        (
            {"model": {"path": "whole"}, "warm_start": {"file": "train.jsonl"}},
            "warm_start: is for model.scratch only; remove it, or name a model that was trained before",
        ),
    ],
)
def test_values_that_do_not_go_together_and_files(tmp_path: Path, changes: Mapping[str, Any], sentence: str) -> None:
    path = tasks.write(tmp_path, changes)
    for folder, files in {
        "empty": [],
        "bare": ["config.json"],
        "mute": ["config.json", "model.safetensors"],
        "whole": ["config.json", "model.safetensors", "tokenizer.json"],
    }.items():
        (tmp_path / folder).mkdir()
        for name in files:
            (tmp_path / folder / name).write_text("{}")
    (tmp_path / "broken.py").write_text("def f(completion, answer):\n    return (\n")
    (tmp_path / "latin.py").write_bytes(b"# \xe9\ndef f(c, a): return 0\n")
    (line,) = said(path)
    assert line.startswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", 'is empty; write lines such as {"prompt": "7+8=", "answer": "15"}'),
        ("\n\n", "is empty"),
        ("7+8=15\n", 'line 1: is not JSON; write {"prompt": "7+8=", "answer": "15"}'),
        ("[" * 100_000, "line 1: is not JSON"),
        ("[1]", "line 1: is not a mapping"),
        ('{"prompt": "1+1="}', 'line 1: has no "answer"'),
        ('\n{"prompt": "1+1=", "answer": 2}', 'line 2: its "answer" is 2, which is not text; put it in quotes'),
        ('{"prompt": "", "answer": "2"}', 'line 1: its "prompt" is empty'),
        (
            '{"prompt": "1-1=", "answer": "0"}',
            "line 1: '-' in its prompt is not in model.scratch.vocabulary; add it there or remove it here",
        ),
        (
            '{"prompt": "1+1=", "answer": "0002"}',
            "line 1: its answer has 4 characters; raise grpo.completion_tokens, which is 3",
        ),
        (
            '{"prompt": "10+10=", "answer": "20"}',
            "line 1: prompt and completion take 9 tokens; raise model.scratch.positions, which is 8",
        ),
    ],
)
def test_a_line_of_the_data_is_named(tmp_path: Path, text: str, sentence: str) -> None:
    path = tasks.write(tmp_path)
    (tmp_path / "train.jsonl").write_text(text)
    (line,) = said(path)
    assert line.startswith(f"data.train: train.jsonl: {sentence}")


def test_only_the_first_wrong_lines_are_named(tmp_path: Path) -> None:
    path = tasks.write(tmp_path)
    (tmp_path / "train.jsonl").write_text("x\n" * 10)
    assert [line.partition("is not JSON")[0] for line in said(path)] == [
        "data.train: train.jsonl: line 1: ",
        "data.train: train.jsonl: line 2: ",
        "data.train: train.jsonl: line 3: ",
        "data.train: train.jsonl: 7 more lines have such problems",
    ]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no such file"), (b"\xe9", "is not UTF-8; save it as UTF-8")],
)
def test_a_data_file_that_cannot_be_read(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tasks.write(tmp_path)
    (tmp_path / "train.jsonl").unlink()
    if content is not None:
        (tmp_path / "train.jsonl").write_bytes(content)
    assert said(path) == [f"data.train: train.jsonl: {sentence}"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [(".", "is a folder; name the file in it"), ("n" * 300, "cannot be read (File name too long)")],
)
def test_a_data_file_that_is_none(tmp_path: Path, name: str, sentence: str) -> None:
    assert said(tasks.write(tmp_path, {"data.train": name})) == [f"data.train: {name}: {sentence}"]


def test_a_models_own_data_may_hold_any_letter(tmp_path: Path) -> None:
    # Length and letters are the tokenizer's business, which is looked at when the model is there.
    path = tasks.write(tmp_path, {"model": {"hub": "a/b"}})
    tasks.lines(tmp_path / "train.jsonl", [{"prompt": "What is seven and eight?", "answer": "fifteen"}])
    assert checked(path).model.hub == "a/b"


def test_everything_is_said_at_once(tmp_path: Path) -> None:
    path = tasks.write(
        tmp_path,
        {"grpo.steps": "5", "grpo.rate": 1, "reward": {"file": "gone.py", "function": "f"}, "data.train": "gone.jsonl"},
    )
    assert [line.split(":")[0] for line in said(path)] == ["grpo.steps", "grpo.rate", "reward.file", "data.train"]


def test_the_claim_has_the_name_of_what_is_measured() -> None:
    def claimed(changes: Mapping[str, Any]) -> str:
        return Recipe.model_validate(tasks.changed(tasks.RECIPE, changes)).claimed

    own = {"reward.file": "reward.py", "reward.function": "short"}
    assert claimed({}) == "exact-match"
    assert claimed(own) == "short"
    assert claimed({**own, "metric": "brevity"}) == "brevity"
