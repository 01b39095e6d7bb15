"""Runs the programs of an example as the loop would: a fresh copy of the task, a seed, artifacts."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass
class Finished:
    """What a program left behind."""

    code: int
    stderr: str
    artifacts: Path

    def json(self, name: str) -> Any:
        return json.loads((self.artifacts / name).read_text())


class Runner:
    """Runs an example's programs in a folder of the test's own; the checkout stays as it is."""

    def __init__(self, example: Path, folder: Path) -> None:
        self.example, self.folder, self.count = example, folder, 0

    def train(self, command: list[str], seed: str, recipe: object = None) -> Finished:
        """A run in a fresh copy of the task; `recipe`, text or JSON, takes the place of recipe.json."""
        self.count += 1
        task, artifacts = self.folder / f"task-{self.count}", self.folder / f"artifacts-{self.count}"
        task.mkdir()
        artifacts.mkdir()
        for file in (self.example / "task").iterdir():
            if file.is_file():
                (task / file.name).write_bytes(file.read_bytes())
        if recipe is not None:
            text = recipe if isinstance(recipe, str) else json.dumps(recipe)
            (task / "recipe.json").write_text(text)
        return self._run(command, task, artifacts, {"RLOOP_SEED": seed})

    def score(self, command: list[str], artifacts: Path) -> dict[str, Any]:
        """The verdict on a folder of artifacts."""
        verdict = self.folder / "verdict.json"
        verdict.unlink(missing_ok=True)
        variables = {"RLOOP_VERDICT": str(verdict), "RLOOP_SEED": "5"}
        if (self.example / "held-out").is_dir():
            variables["RLOOP_HELD_OUT"] = str(self.example / "held-out")
        finished = self._run(command, self.example / "evaluation", artifacts, variables)
        assert finished.code == 0, finished.stderr
        answer: dict[str, Any] = json.loads(verdict.read_text())
        return answer

    def _run(self, command: list[str], where: Path, artifacts: Path, more: dict[str, str]) -> Finished:
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "RLOOP_ARTIFACTS": str(artifacts),
            **more,
        }
        done = subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Finished(done.returncode, done.stderr, artifacts)
