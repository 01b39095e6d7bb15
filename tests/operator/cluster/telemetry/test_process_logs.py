"""What the cluster's processes say, and how often."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import structlog

from rloop_operator.cluster.telemetry.process_logs import REMEMBERED, REPEAT_SECONDS, Once

PROGRAM = """
import logging, structlog
from rloop_operator.cluster.telemetry import process_logs
process_logs.configure()
structlog.contextvars.bind_contextvars(namespace="default", loop="demo")
for _ in range(3):
    structlog.get_logger("rloop.reconcile").info("stop", workload="demo-i0001-s1-a1", reason="Hang")
logging.getLogger("kopf.reactor").info("of no interest")
logging.getLogger("kopf.reactor").warning("the watch %s", "broke")
try:
    1 / 0
except ZeroDivisionError as error:
    structlog.get_logger("rloop.operator").warning("reconcile_failed", exc_info=error)
"""


def test_a_line_is_one_json_object_with_its_loop_whoever_wrote_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    stop, broke, failed = map(json.loads, done.stdout.splitlines())
    for line in (stop, broke, failed):
        assert (line["namespace"], line["loop"]) == ("default", "demo")
        assert line["timestamp"].endswith("Z")
    assert list(stop)[:3] == ["timestamp", "level", "event"]
    assert (stop["event"], stop["workload"], stop["level"]) == ("stop", "demo-i0001-s1-a1", "info")
    assert (broke["event"], broke["logger"]) == ("the watch broke", "kopf.reactor")
    assert "ZeroDivisionError" in failed["exception"]


def test_the_same_line_is_said_again_after_some_minutes_only() -> None:
    now = [0.0]
    once = Once(lambda: now[0])

    def said(**event: object) -> bool:
        try:
            once(None, "info", dict(event))
        except structlog.DropEvent:
            return False
        return True

    assert said(event="stop", workload="a")
    assert said(event="stop", workload="b")
    now[0] = REPEAT_SECONDS - 1
    assert not said(event="stop", workload="a")
    now[0] = REPEAT_SECONDS
    assert said(event="stop", workload="a")
    assert not said(event="stop", workload="a")
    # It remembers some of them, not all for ever.
    assert all(said(event="stop", workload=str(number)) for number in range(REMEMBERED))
    assert said(event="stop", workload="a")


def test_what_is_said_once_is_not_changed() -> None:
    event = {"event": "stop", "error": ValueError("x")}
    assert Once()(None, "info", event) is event
    with pytest.raises(structlog.DropEvent):
        Once.__call__(once := Once(), None, "info", once(None, "info", {"event": "a"}))
