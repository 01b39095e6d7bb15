"""Providers that answer oddly, through the processes of a real campaign: the session fails with their words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.models.server import ModelServer

from rloop_operator.cli.sources.read_folder import look

Example = Callable[..., Path]


@pytest.mark.parametrize(
    ("failure", "reason", "words"),
    [
        ("prompt-too-long", "ContextTooLong", "prompt is too long: 213462 tokens"),
        ("content-null", "AnswerEmpty", "neither text nor a tool call"),
        ("late-error", "StreamBroken", "The engine has stopped"),
        ("error-event", "ProviderDown", "The server is overloaded"),
    ],
)
def test_a_session_without_a_usable_answer_is_void(
    example: Example, tmp_path: Path, failure: str, reason: str, words: str
) -> None:
    model = f"researcher+{failure}"
    llm = {"llm": {"provider": "main", "model": model}, "maxRounds": 3, "sessionSeconds": 20}
    file = example("echo 1 >$RLOOP_ARTIFACTS/loss", agent=llm, budget__runs=20, budget__tokens=1_000_000)
    with ModelServer() as provider:
        threading.Thread(target=provider.serve_forever, args=(0.05,), daemon=True).start()
        with subprocess.Popen(
            [sys.executable, "-m", "rloop_operator.cli", "run", str(file)],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RLOOP_LLM_URL": provider.url},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if "i0001 settles" in line:
                    break
            process.send_signal(signal.SIGINT)
            told, _ = process.communicate(timeout=60)
        provider.shutdown()
    assert process.returncode == 130, told
    assert f"i0001 settles, void ({reason}); 0 experiments; stale 0\n" in lines[-1]
    assert words in "".join(lines), "on the screen"
    found = look(tmp_path / "runs/demo").snapshot
    (session,) = found.iterations["demo-i0001"].status.sessions
    assert (session.phase, session.reason, session.attempt) == ("Failed", reason, 1)
    assert words in session.message
    assert found.loop.status.budget.used.experiments == 0
    assert provider.calls[model] >= 1
    if failure in ("prompt-too-long", "error-event"):
        assert found.loop.status.budget.used.tokens == 0
