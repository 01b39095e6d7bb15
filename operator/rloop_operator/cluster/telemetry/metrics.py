"""All metrics, by the process that exposes them. docs/metrics.md lists them, and a test compares the two.

Labels have few values. Only some gauges have a loop or a namespace as label; the series of a loop are removed when it
is deleted. Counters start at 0 with the process.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from rloop.actions import Start
from rloop.api.experiment import ResearchExperiment
from rloop.api.iteration import ResearchIteration

if TYPE_CHECKING:
    from rloop_operator.llm_proxy.app import Record  # imports httpx, which only the LLM proxy needs
    from rloop_operator.reconcile import Pass  # imports scipy, which only the operator needs

SHARED, OPERATOR, GATEWAY, GUARD, PROXY = (CollectorRegistry() for _ in range(5))
ProcessCollector(registry=SHARED)
Object = ResearchExperiment | ResearchIteration

API_REQUESTS = Counter(
    "rloop_api_requests", "Requests to the API server; code 0: no response", ("verb", "code"), registry=SHARED
)
API_SECONDS = Histogram(
    "rloop_api_request_seconds", "Duration of requests to the API server", ("verb",), registry=SHARED
)
EVENT_LOOP_LAG = Gauge("rloop_event_loop_lag_seconds", "Latest delay of the event loop", registry=SHARED)
PART_WORKING = Gauge(
    "rloop_part_working", "1 if this part of the process works, as in /readyz", ("part",), registry=SHARED
)
WATCHDOG_RESTARTS = Counter(
    "rloop_watchdog_restarts", "Pods deleted to restart a process", ("layer", "process", "reason"), registry=SHARED
)

RECONCILE_SECONDS = Histogram("rloop_reconcile_seconds", "Duration of one pass over one loop", registry=OPERATOR)
RECONCILE_ERRORS = Counter("rloop_reconcile_errors", "Passes that failed and are retried", registry=OPERATOR)
LOOP_FAILED_PASSES = Gauge(
    "rloop_loop_failed_passes",
    "Consecutive failed passes over a loop; absent if the latest one succeeded",
    ("namespace", "loop"),
    registry=OPERATOR,
)
QUEUE_DEPTH = Gauge("rloop_queue_depth", "Loops that are waiting for a pass", registry=OPERATOR)
QUEUE_OLDEST = Gauge(
    "rloop_queue_oldest_seconds", "Seconds for which the first loop in the queue has been waiting", registry=OPERATOR
)
WRITES_REFUSED = Counter(
    "rloop_writes_refused", "Writes that were not sent because the operator's Lease had expired", registry=OPERATOR
)
LOOPS = Gauge("rloop_loops", "Loops by phase, as of the last patrol", ("phase",), registry=OPERATOR)
EXPERIMENTS = Gauge(
    "rloop_experiments", "Candidates of all loops by state, as of the last patrol", ("state",), registry=OPERATOR
)
WORKLOADS_STARTED = Counter("rloop_workloads_started", "Pods and Jobs created", ("role",), registry=OPERATOR)
WORKLOAD_FAILURES = Counter(
    "rloop_workload_failures", "Attempts, scorings and sessions that failed", ("role", "reason"), registry=OPERATOR
)
HEARTBEAT_AGE = Gauge(
    "rloop_heartbeat_age_seconds",
    "Age of the latest heartbeat of the loop's most silent session",
    ("namespace", "loop"),
    registry=OPERATOR,
)
PATROL_AGE = Gauge(
    "rloop_patrol_age_seconds", "Seconds since the last patrol that listed every loop", registry=OPERATOR
)
PING_AGE = Gauge("rloop_ping_age_seconds", "Seconds since a ping of the guard was last answered", registry=OPERATOR)
NAMESPACE_SERVED = Gauge(
    "rloop_namespace_served",
    "1 if the last patrol could list the loops of this watched namespace",
    ("namespace",),
    registry=OPERATOR,
)
LEASE_HELD = Gauge("rloop_lease_held", "1 while this operator holds its Lease and may write", registry=OPERATOR)

GATEWAY_REQUESTS = Counter(
    "rloop_gateway_requests", "Requests of agents and sidecars", ("verb", "code"), registry=GATEWAY
)
GATEWAY_SECONDS = Histogram(
    "rloop_gateway_request_seconds", "Duration of requests to the gateway", ("verb",), registry=GATEWAY
)

LLM_REQUESTS = Counter(
    "rloop_llm_requests",
    "Admitted model calls; code: answered, or the reason of the failure",
    ("provider", "code"),
    registry=PROXY,
)
LLM_SECONDS = Histogram(
    "rloop_llm_request_seconds",
    "Duration of model calls, including retries",
    ("provider", "model"),
    registry=PROXY,
    buckets=(0.1, 0.5, 1, 2, 5, 10, 20, 40, 60, 120, 300, 600),
)
LLM_TOKENS = Counter(
    "rloop_llm_tokens",
    "Tokens counted by providers; cached is included in input",
    ("provider", "model", "kind"),
    registry=PROXY,
)
LLM_CHARGED = Counter(
    "rloop_llm_charged_tokens",
    "Tokens charged to campaigns, counted or estimated",
    ("provider", "model"),
    registry=PROXY,
)
LLM_COST = Counter(
    "rloop_llm_cost", "Cost charged to campaigns, of models with a known price", ("provider", "model"), registry=PROXY
)
LLM_BREAKER = Gauge(
    "rloop_llm_breaker_open",
    "Circuit breaker of an endpoint: 1 open, 0.5 half-open, 0 closed",
    ("provider", "model"),
    registry=PROXY,
)

OPERATOR_LEASE_AGE = Gauge(
    "rloop_guard_operator_lease_age_seconds",
    "Seconds since the guard saw the operator renew its Lease",
    registry=GUARD,
)
PING_UNANSWERED = Gauge(
    "rloop_guard_ping_unanswered_seconds",
    "Seconds for which the latest ping is unanswered; 0 if it was answered",
    registry=GUARD,
)
UNRECONCILED = Gauge(
    "rloop_guard_unreconciled_seconds",
    "Seconds for which the oldest unreconciled spec change has been waiting",
    registry=GUARD,
)


def api_request(verb: str, code: int, seconds: float) -> None:
    """Count a request to the API server."""
    API_REQUESTS.labels(verb, str(code)).inc()
    API_SECONDS.labels(verb).observe(seconds)


def llm_call(record: Record) -> None:
    """Count a finished model call."""
    LLM_REQUESTS.labels(record.provider, record.code).inc()
    LLM_SECONDS.labels(record.provider, record.model).observe(record.seconds)
    for kind in ("input", "cached", "output"):
        LLM_TOKENS.labels(record.provider, record.model, kind).inc(getattr(record.tokens, kind))
    LLM_CHARGED.labels(record.provider, record.model).inc(record.charged.tokens)
    LLM_COST.labels(record.provider, record.model).inc(float(record.charged.cost))


def heartbeats(namespace: str, loop: str, ages: Iterable[float]) -> None:
    """Show the age of the newest heartbeat of the loop's most silent session; without sessions, remove the series."""
    oldest = max(ages, default=None)
    if oldest is None:
        forget(namespace, loop)
    else:
        # A function, because the age grows until the next pass, which may be much later.
        silent_since = time.monotonic() - oldest
        HEARTBEAT_AGE.labels(namespace, loop).set_function(lambda: time.monotonic() - silent_since)


def forget(namespace: str, loop: str) -> None:
    """Remove the heartbeat series of a loop that has no sessions or is deleted."""
    HEARTBEAT_AGE.remove_by_labels({"namespace": namespace, "loop": loop})


def count(done: Pass) -> None:
    """Count the workloads a pass started and the failures it recorded: once each, as each status is written once."""
    decision, observed = done.decision, done.observed
    if decision is None:
        return
    for action in decision.actions:
        if isinstance(action, Start):
            WORKLOADS_STARTED.labels(action.workload.role).inc()
    before: dict[str, Object] = {**observed.experiments, **observed.iterations}
    changed: list[Object] = [*decision.experiments, *decision.iterations]
    for one in changed:
        known = _failed(before[one.metadata.name])
        for (role, reason), number in (_failed(one) - known).items():
            WORKLOAD_FAILURES.labels(role, reason).inc(number)


def look(loops: Iterable[dict[str, Any]]) -> None:
    """Count the loops that a patrol has listed, by phase, and their experiments, by state."""
    phases: Tally[str] = Tally()
    states: Tally[str] = Tally()
    for loop in loops:
        status = loop.get("status", {})
        phases[status.get("phase", "Pending")] += 1
        states.update(status.get("experiments", {}))
    for gauge, tally in ((LOOPS, phases), (EXPERIMENTS, states)):
        gauge.clear()
        for value, number in tally.items():
            gauge.labels(value).set(number)


def _failed(one: Object) -> Tally[tuple[str, str]]:
    """Number of its failed workloads by role and reason. A session's reason is that of its newest process."""
    if isinstance(one, ResearchIteration):
        sessions = one.status.sessions
        return Tally(
            ("agent", s.reason or "Unknown") for s in sessions for _ in range(s.attempt - (s.phase != "Failed"))
        )
    runs = one.status.runs
    attempts = [("run", a.reason or "Unknown") for run in runs for a in run.attempts if a.phase == "Failed"]
    scorings = [("verification", v.reason or "Unknown") for r in runs for v in r.verifications if v.phase == "Failed"]
    return Tally([*attempts, *scorings])
