"""The import law and the ban on clocks fail when they are broken: a check that cannot fail is no check."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ["controllers", "operator", "images/agent", "images/sidecar", "images/trainer", "images/verifier"]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("law")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for root in ROOTS:
        shutil.copytree(ROOT / root, copy / root, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def checkout(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "checkout")


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    # PYTHONPATH comes before the editable install, so the copy is what is read.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(str(checkout / root) for root in ROOTS)}
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=checkout, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("file", "line", "reason"),
    [
        ("controllers/rloop/planted.py", "import os", "the pure core may not touch the machine"),
        ("controllers/rloop/planted.py", "import time", "the pure core has no clock"),
        ("controllers/rloop/planted.py", "import random", "the pure core has no chance"),
        ("controllers/rloop/decide/planted.py", "import httpx", "a decision may not call out"),
        ("controllers/rloop/planted.py", "import rloop_operator", "the core may not know its shell"),
        ("controllers/rloop/api/planted.py", "import rloop.decide", "models do not know decisions"),
        ("images/agent/rloop_agent/planted.py", "import rloop.decide", "an agent may not hold the rules"),
        ("images/sidecar/rloop_sidecar/planted.py", "import rloop.decide", "nor may a sidecar"),
        ("images/verifier/rloop_verifier/planted.py", "import rloop.admit", "nor may a verifier"),
        ("operator/rloop_operator/local/planted.py", "import rloop_operator.sim", "shells stay apart"),
        ("operator/rloop_operator/local/planted.py", "import kopf", "a laptop has no Kubernetes library"),
        ("operator/rloop_operator/planted.py", "import torch", "the operator loads no training library"),
        ("controllers/rloop/decide/queries/planted.py", "import rloop.decide.work.session", "queries know no steps"),
        ("controllers/rloop/decide/work/planted.py", "import rloop.decide.research.judge", "steps stay in their room"),
        ("operator/rloop_operator/cluster/kube/planted.py", "import rloop_operator.cluster.guard", "nor does a client"),
        ("operator/rloop_operator/local/storage/planted.py", "import rloop_operator.local.workloads", "nor a store"),
        ("operator/rloop_operator/gateway/verbs/planted.py", "import rloop_operator.gateway.protocols", "nor a verb"),
        ("operator/rloop_operator/llm_proxy/terms/planted.py", "import rloop_operator.llm_proxy.app", "nor a price"),
        ("operator/rloop_operator/cli/views/planted.py", "import rloop_operator.cli.commands", "nor a view"),
    ],
)
def test_a_broken_law_is_seen(checkout: Path, file: str, line: str, reason: str) -> None:
    (checkout / file).write_text(f'"""Planted."""\n\n{line}\n')
    seen = lint_imports(checkout)
    assert seen.returncode != 0, reason
    assert "planted" in seen.stdout, reason


def test_an_image_may_use_the_models(checkout: Path) -> None:
    (checkout / "images/agent/rloop_agent/planted.py").write_text('"""Planted."""\n\nimport rloop.api\n')
    assert "planted" not in lint_imports(checkout).stdout


def banned(path: Path, text: str) -> subprocess.CompletedProcess[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select=TID251", str(path)]
    return subprocess.run(command, cwd=path.parent, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    "text",
    [
        "import datetime\ndatetime.datetime.now(datetime.UTC)\n",
        "from datetime import datetime\ndatetime.now()\n",
        "from datetime import datetime\ndatetime.utcnow()\n",
        "from datetime import datetime\ndatetime.today()\n",
        "from datetime import date\ndate.today()\n",
        "import time\ntime.time()\n",
        "from time import monotonic\nmonotonic()\n",
        "from uuid import uuid4\nuuid4()\n",
        "import uuid\nuuid.uuid1()\n",
        "import numpy as np\nnp.random.default_rng()\n",
        "from numpy.random import default_rng\ndefault_rng()\n",
        "import random\nrandom.random()\n",
        "import os\nos.urandom(8)\n",
        "import secrets\nsecrets.token_hex()\n",
        "from pathlib import Path\nPath('x')\n",
    ],
)
def test_clock_chance_and_files_are_banned_in_the_pure_core_only(pristine: Path, text: str) -> None:
    seen = banned(pristine / "controllers/rloop/planted_ban.py", text)
    assert (seen.returncode, "TID251" in seen.stdout) == (1, True), seen.stdout + seen.stderr
    assert banned(pristine / "operator/rloop_operator/planted_ban.py", text).returncode == 0


def test_the_pure_core_opens_no_file() -> None:
    # A builtin needs no import, so neither tool can ban it.
    core = sorted((ROOT / "controllers").rglob("*.py"))
    assert [path.name for path in core if re.search(r"(?<![\w.])open\(", path.read_text())] == []


def test_values_of_time_are_allowed_in_the_pure_core(pristine: Path) -> None:
    text = "from datetime import datetime, timedelta\ndatetime.fromisoformat('2026-01-01') + timedelta(1)\n"
    assert banned(pristine / "controllers/rloop/planted_ban.py", text).returncode == 0
