"""Changes of a model are checked by mypy: the plugin fails on a wrong field or value, and nobody goes past it."""

import subprocess
import sys
from pathlib import Path

from tests.repo.test_layout import ROOT, names, under

PLANTED = """
from rloop.api.experiment import Run
from rloop.decide.draft import Draft

def right(run: Run, draft: Draft) -> None:
    run.changed(phase="Failed", reason=None)
    draft.write_experiment("e", phase="Running")

def wrong(run: Run, draft: Draft) -> None:
    run.changed(phase="Gone")
    run.changed(phse="Failed")
    draft.write_experiment("e", verdict="Kept")
    draft.write_iteration("i", settled=True)
    draft.write(pivots="1")
"""


def test_a_wrong_change_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(file)]
    told = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True).stdout
    first = PLANTED.splitlines().index("def wrong(run: Run, draft: Draft) -> None:") + 2
    errors = [int(line.split(":")[1]) for line in told.splitlines() if ": error: " in line]
    assert errors == list(range(first, first + 5)), told


def test_no_model_is_changed_unchecked() -> None:
    past = [path for path in under("controllers/", "operator/") if ".model_copy(" in path.read_text()]
    assert names(past) == ["controllers/rloop/api/common.py"], "write .changed(field=value), which mypy checks"
