"""The lines of progress.jsonl, and what a second attempt makes of the first one's."""

import json
from pathlib import Path
from typing import Any

import pytest

from rloop_trainer.progress import Progress


def steps(artifacts: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifacts / "progress.jsonl").read_text().splitlines()]


def test_a_line_is_there_as_soon_as_its_step_is_over(tmp_path: Path) -> None:
    progress = Progress(tmp_path, 0)
    progress.step(1, {"loss": 0.12345678, "reward": 1.0, "completions/mean_length": 3.0})
    assert steps(tmp_path) == [{"step": 1, "loss": 0.123457, "reward": 1.0}]
    progress.step(2, {"loss": float("nan"), "grad_norm": float("inf"), "kl": None, "entropy": 0.5})
    assert steps(tmp_path)[1:] == [{"step": 2, "entropy": 0.5}]
    progress.close()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4}\n', [1, 2]),
        ('{"step": 1}\n{"step": 2, "lo', [1]),
        ('{"step": 1}\n{"step": 2}', [1, 2]),
        ('{"step": 1}\nnothing\n[]\n{"loss": 1}\n{"step": null}\n{"step": 2}\n', [1, 2]),
        ("", []),
    ],
)
def test_no_step_comes_twice_after_a_resume(tmp_path: Path, text: str, kept: list[int]) -> None:
    (tmp_path / "progress.jsonl").write_text(text)
    progress = Progress(tmp_path, 2)
    progress.step(3, {"loss": 1.0})
    progress.close()
    assert [line["step"] for line in steps(tmp_path)] == [*kept, 3]
