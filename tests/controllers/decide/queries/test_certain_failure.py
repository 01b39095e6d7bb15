"""What would come again: certain words only, and a doubt is for another attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop.decide.queries import certain_failure

TRACEBACK = 'Traceback (most recent call last):\n  File "/task/train.py", line 3, in <module>\n    import torch\n'
TORCHRUN = """Root Cause (first observed failure):
[0]:
  time      : 2026-01-01_10:00:00
  rank      : 1 (local_rank: 1)
  exitcode  : {} (pid: 17)
  error_file: <N/A>
============================================================
"""


@pytest.mark.parametrize(
    ("reason", "code", "tail"),
    [
        pytest.param("PreflightFailed", 1, "", id="the preflight"),
        pytest.param("ArtifactTooLarge", 0, "", id="artifacts beyond the limit"),
        pytest.param("Error", 3, "stopped: step 1: loss is nan", id="the program says so"),
        pytest.param("Error", 1, TORCHRUN.format(3), id="a rank says so through torchrun"),
        pytest.param("Error", 127, "sh: 1: tarin: not found", id="a shell finds no program"),
        pytest.param("Error", 126, "sh: 1: ./a: Permission denied", id="a program that is not executable"),
        pytest.param("StartFailed", 127, '"tarin" could not be started', id="we find no program"),
        pytest.param("Error", 1, TRACEBACK + "ModuleNotFoundError: No module named 'torch'\n", id="a missing module"),
        pytest.param(
            "Error",
            1,
            "ModuleNotFoundError: No module named 'a.b'; 'a' is not a package\n[rloop] a line of ours\n\n",
            id="with a line of ours behind it",
        ),
        pytest.param("Error", 1, TRACEBACK + "ImportError: cannot import name 'f' from 'm' (/m.py)", id="no such name"),
        pytest.param("Error", 1, '  File "a.py", line 1\n    x = (\n        ^\nSyntaxError: never closed', id="("),
        pytest.param("Error", 1, "IndentationError: unexpected indent", id="indent"),
    ],
)
def test_certain(reason: str, code: int, tail: str) -> None:
    assert certain_failure.certainly(reason, code, tail)


@pytest.mark.parametrize(
    ("reason", "code", "tail"),
    [
        pytest.param("Error", 1, "", id="silence"),
        pytest.param("Error", 2, "usage: train.py", id="another code"),
        pytest.param("Error", 1, TORCHRUN.format(1), id="a rank's plain error through torchrun"),
        pytest.param("Error", 1, TRACEBACK + "RuntimeError: NCCL error: unhandled system error", id="a network"),
        pytest.param("Error", 1, TRACEBACK + "OSError: [Errno 28] No space left on device", id="a full disk"),
        pytest.param("Error", 1, TRACEBACK + "torch.OutOfMemoryError: CUDA out of memory", id="a GPU that others use"),
        pytest.param(
            "Error", 1, TRACEBACK + "ImportError: libcuda.so.1: cannot open shared object file", id="one node's driver"
        ),
        pytest.param(
            "Error",
            1,
            "ModuleNotFoundError: No module named 'transformers_modules.tiny'",
            id="a module that two ranks download at once",
        ),
        pytest.param(
            "Error",
            1,
            "ModuleNotFoundError: No module named 'flash_attn'\nfalling back\nConnectionError: reset",
            id="a missing module that was caught",
        ),
        pytest.param("Hang", None, "ModuleNotFoundError: No module named 'torch'", id="an end that is ours"),
        pytest.param("Killed", 137, "", id="killed"),
        pytest.param("OutOfMemory", 137, "", id="the kernel's"),
        pytest.param("Lost", None, "", id="a node"),
        pytest.param("StartFailed", None, "the workload's folder could not be created", id="a disk"),
        pytest.param("Completed", 3, "", id="no end that any shell tells"),
    ],
)
def test_doubtful(reason: str, code: int | None, tail: str) -> None:
    assert certain_failure.certainly(reason, code, tail) is None


@pytest.mark.parametrize(
    ("reason", "code", "certain"),
    [
        pytest.param("Error", 127, True, id="not there"),
        pytest.param("StartFailed", 126, True, id="not executable"),
        pytest.param("Error", 3, False, id="exit code 3 is a word of runs only"),
        pytest.param("Error", 1, False, id="any other end"),
        pytest.param("Killed", 127, False, id="an end that is not its own"),
    ],
)
def test_a_program_that_cannot_work_whoever_runs_it(reason: str, code: int, certain: bool) -> None:
    assert (certain_failure.broken_program(reason, code, "some words") is not None) is certain


@given(st.text(max_size=300))
def test_the_last_line_is_a_line_of_the_log(tail: str) -> None:
    line = certain_failure.last_line(tail)
    assert line in tail
    assert bool(line) == bool(tail.strip())
