"""What the health endpoint answers, and that each metric is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from tests.support.builders import attempt, experiment, iteration, loop, moment, run, session
from tests.support.deciding import observed

from rloop.actions import Start, Workload
from rloop.decide.draft import Decision
from rloop_operator.cluster.telemetry import health, metrics
from rloop_operator.cluster.telemetry.health import Part
from rloop_operator.reconcile import Pass

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    ("watch", "api", "alive", "ready"),
    [
        pytest.param("", "", 200, 200, id="all works"),
        pytest.param("it is silent", "", 503, 503, id="what a restart may cure"),
        pytest.param("", "it does not respond", 200, 503, id="what it cannot"),
    ],
)
def test_a_restart_is_asked_for_where_it_may_help(watch: str, api: str, alive: int, ready: int) -> None:
    parts = [Part("watch", lambda: watch), Part("api", lambda: api, curable=False)]
    assert health.report(parts, curable_only=True)[1] == alive
    text, code = health.report(parts, curable_only=False)
    assert code == ready
    assert text == f"watch: {watch or 'ok'}\napi: {api or 'ok'}\n"


def shown(registry: CollectorRegistry) -> dict[str, tuple[str, str]]:
    """Name as it is scraped -> type and help."""
    families = [one for one in registry.collect() if one.name.startswith("rloop_")]
    return {one.name + ("_total" if one.type == "counter" else ""): (one.type, one.documentation) for one in families}


def test_the_document_lists_every_metric_and_no_other() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    registries = (metrics.SHARED, metrics.OPERATOR, metrics.GATEWAY, metrics.GUARD, metrics.PROXY)
    have = {name: told for registry in registries for name, told in shown(registry).items()}
    rows = re.findall(r"^\| `(rloop_\w+)(?:\{([\w,]+)\})?` \| (\w+) \| (.+) \|$", text, re.MULTILINE)
    assert {name: (kind, told) for name, _, kind, told in rows} == have
    labels = {name: tuple(filter(None, given.split(","))) for name, given, _, _ in rows}
    ours = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    defined = {one._name + ("_total" if one._type == "counter" else ""): one._labelnames for one in ours}
    assert labels == defined


def value(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


def test_a_patrol_counts_loops_and_forgets_what_is_gone() -> None:
    status = {"phase": "Iterating", "experiments": {"running": 2, "accepted": 1}}
    metrics.look([{"status": status}, {"status": status}, {}])
    assert value(metrics.OPERATOR, "rloop_loops", phase="Iterating") == 2
    assert value(metrics.OPERATOR, "rloop_loops", phase="Pending") == 1
    assert value(metrics.OPERATOR, "rloop_experiments", state="running") == 4
    metrics.look([])
    assert metrics.OPERATOR.get_sample_value("rloop_loops", {"phase": "Iterating"}) is None


def test_a_silent_session_is_shown_and_its_series_goes_with_the_loop() -> None:
    labels = {"namespace": "default", "loop": "demo"}
    metrics.heartbeats("default", "demo", [3.0, 20.0])
    oldest = metrics.OPERATOR.get_sample_value("rloop_heartbeat_age_seconds", labels)
    assert oldest is not None
    assert oldest >= 20, "it grows until the next pass"
    metrics.heartbeats("default", "demo", [])
    assert metrics.OPERATOR.get_sample_value("rloop_heartbeat_age_seconds", labels) is None
    metrics.forget("default", "demo")


def failures(role: str, reason: str) -> float:
    return value(metrics.OPERATOR, "rloop_workload_failures_total", role=role, reason=reason)


def test_a_failure_is_counted_when_it_is_recorded_and_once() -> None:
    before = experiment("demo-i0001-e1", run("screen", "Running", attempts=[attempt("Running")]))
    lost = attempt("Failed", reason="Lost", finished_at=moment(5))
    after = experiment("demo-i0001-e1", run("screen", "Running", attempts=[lost, attempt("Pending", 2)]))
    old = iteration(1, session(), session("Running", index=2))
    new = iteration(1, session("Failed", reason="Error"), session("Pending", index=2, attempt=2, reason="Lost"))
    facts = observed(loop(), before, old)
    start = Start(Workload("demo-i0001-e1-r1-a2", "run", "demo-i0001-e1", 60))
    names = [("run", "Lost"), ("agent", "Error"), ("agent", "Lost")]
    counted = [failures(*one) for one in names]
    started = value(metrics.OPERATOR, "rloop_workloads_started_total", role="run")
    metrics.count(Pass(facts, changed=True, decision=Decision((start,), (after,), (new,), None, ())))
    assert [failures(*one) for one in names] == [number + 1 for number in counted]
    assert value(metrics.OPERATOR, "rloop_workloads_started_total", role="run") == started + 1
    # The next pass sees what was recorded.
    facts = observed(loop(), after, new)
    metrics.count(Pass(facts, changed=True, decision=Decision((), (after,), (new,), None, ())))
    metrics.count(Pass(facts, changed=True, conflict=True))
    assert [failures(*one) for one in names] == [number + 1 for number in counted]
