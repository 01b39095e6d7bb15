"""Fixtures of the examples' tests: a runner for each, and the modules of the Kuhn task."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.examples.runner import EXAMPLES, Runner


@pytest.fixture
def kuhn_runner(tmp_path: Path) -> Runner:
    return Runner(EXAMPLES / "01-kuhn-selfplay", tmp_path)


@pytest.fixture
def shell_runner(tmp_path: Path) -> Runner:
    return Runner(EXAMPLES / "02-shell-awk", tmp_path)


@pytest.fixture
def grpo_runner(tmp_path: Path) -> Runner:
    return Runner(EXAMPLES / "03-grpo-addition", tmp_path)


@pytest.fixture(scope="session")
def kuhn_task() -> Iterator[dict[str, ModuleType]]:
    """The modules of the Kuhn task and its scorer, imported as their own programs import them."""
    folder = EXAMPLES / "01-kuhn-selfplay"
    names = ["kuhn", "learner", "recipe"]
    with pytest.MonkeyPatch.context() as patch:
        # The folders are copied as they lie there: no compiled files in them.
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(folder / "task")
        modules = {name: importlib.import_module(name) for name in names}
        patch.syspath_prepend(folder / "evaluation")
        modules["score"] = importlib.import_module("score")
    yield modules
    for name in [*names, "score"]:
        sys.modules.pop(name, None)
