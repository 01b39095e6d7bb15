"""A run that guesses the seed of its scoring gains nothing by it."""

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]

ATTACK = """python3 - <<'END'
import hashlib, os, pathlib
artifacts = pathlib.Path(os.environ["RLOOP_ARTIFACTS"])
uid = hashlib.sha256(b"rloop/1/demo").hexdigest()[:32]
text = "/".join([uid, os.environ["RLOOP_EXPERIMENT"], artifacts.parent.name.removeprefix("r"), "v", "1"])
seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF
(artifacts / "guess").write_text(str(seed))
END"""
"""What a run can work out from its environment, its paths and the manifest: enough while seeds were a plain digest."""
SCORE = """#!/bin/sh
loss=1
[ "$(cat "$RLOOP_ARTIFACTS/guess")" = "$RLOOP_SEED" ] && loss=0
echo "{\\"metrics\\": {\\"loss\\": $loss}}" >"$RLOOP_VERDICT"
"""


def test_a_run_cannot_compute_the_seed_of_its_scoring(rloop: Rloop, example: Example, tmp_path: Path) -> None:
    file = example(ATTACK, objective__target="0.5", budget__runs=12, budget__experiments=1)
    (file.parent / "evaluation/score").write_text(SCORE)
    done = rloop("run", file, "--seed", "1")
    assert done.returncode == 3, done.stdout + done.stderr

    kept = tmp_path / "runs/demo/seeds.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    keys = json.loads(kept.read_text())
    assert keys["runs"] != keys["scorings"]
    others = [path for path in (tmp_path / "runs/demo").rglob("*") if path.is_file() and path != kept]
    assert others
    assert not [path for path in others if keys["scorings"].encode() in path.read_bytes()]
