"""The commands that people and CI type exist, are listed, and are the same ones."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
CI = ROOT / ".ci/run"
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def test_ci_calls_targets_that_exist() -> None:
    called = re.findall(r"^step make (\S+)", CI.read_text(), re.MULTILINE)
    assert set(called) <= TARGETS
    assert called == ["lint", "types", "verify", "test", "test-train", "demo", "demo-model", "test-cluster"]


def test_ci_can_be_started() -> None:
    assert os.access(CI, os.X_OK)
    assert CI.read_text().startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in CI.read_text()


def test_every_target_is_listed_by_help_and_never_taken_for_a_file() -> None:
    phony = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split())
    described = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert phony == described == TARGETS


def test_demo_needs_the_base_install_only() -> None:
    for target in ("demo", "demo-seeds"):
        assert re.search(rf"^{target}: \$\(BASE\) ", MAKEFILE, re.MULTILINE), target
