"""The rule by which guard and patrol restart another process, as a table and as a property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rloop import restart_policy
from rloop.restart_policy import Pod, Record, Sign, Verdict, judge

RUNS = Pod(running_seconds=1000)
FRESH = Sign("LeaseNotRenewed", "has not renewed its Lease", 5, 30)
STALE = Sign("LeaseNotRenewed", "has not renewed its Lease", 31, 30)
ONCE = Sign("Unreconciled", "has not reconciled a changed spec", 500, 300, 1)


@pytest.mark.parametrize(
    ("pod", "signs", "record", "action", "reason"),
    [
        pytest.param(RUNS, [FRESH], Record(), "None", "Healthy", id="it gives every sign"),
        pytest.param(RUNS, [], Record(), "None", "Healthy", id="no sign is asked for"),
        pytest.param(None, [STALE], Record(), "None", "Absent", id="no pod: the StatefulSet makes one"),
        pytest.param(Pod(terminating=True), [STALE], Record(), "None", "Terminating", id="its end takes its time"),
        pytest.param(Pod(), [STALE], Record(), "None", "Starting", id="an image that cannot be pulled is not mended"),
        pytest.param(Pod(running_seconds=60), [STALE], Record(), "None", "Healthy", id="it had no time for a sign yet"),
        pytest.param(Pod(running_seconds=61), [STALE], Record(), "Restart", "LeaseNotRenewed", id="it had time enough"),
        pytest.param(RUNS, [STALE], Record(), "Restart", "LeaseNotRenewed", id="a sign is missing"),
        pytest.param(RUNS, [FRESH, ONCE], Record(), "Restart", "Unreconciled", id="one of several is missing"),
        pytest.param(RUNS, [STALE, ONCE], Record(), "Restart", "LeaseNotRenewed", id="the first one is told"),
        pytest.param(Pod(crashed_seconds=15), [STALE], Record(), "None", "Crashed", id="it just crashed"),
        pytest.param(Pod(crashed_seconds=16), [], Record(), "Restart", "CrashLoop", id="its back-off grows long"),
        pytest.param(RUNS, [STALE], Record(1, 59), "Wait", "LeaseNotRenewed", id="too soon after the last"),
        pytest.param(RUNS, [STALE], Record(1, 60), "Restart", "LeaseNotRenewed", id="after the pause"),
        pytest.param(RUNS, [STALE], Record(2, 119), "Wait", "LeaseNotRenewed", id="the pause grows"),
        pytest.param(RUNS, [STALE], Record(5, 9999), "GiveUp", "LeaseNotRenewed", id="five did not help"),
        pytest.param(Pod(crashed_seconds=99), [], Record(5, 9999), "GiveUp", "CrashLoop", id="nor against a crash"),
        pytest.param(RUNS, [ONCE], Record(1, 9999), "GiveUp", "Unreconciled", id="this one is worth one restart"),
        pytest.param(RUNS, [FRESH], Record(5, 0), "None", "Healthy", id="what works is left alone"),
    ],
)
def test_judge(pod: Pod | None, signs: list[Sign], record: Record, action: str, reason: str) -> None:
    verdict = judge(pod, signs, record)
    assert (verdict.action, verdict.reason) == (action, reason)
    assert bool(verdict.message) == (action != "None")


def test_what_is_told_names_the_fault_its_duration_and_the_remedy() -> None:
    assert judge(RUNS, [STALE], Record()) == Verdict("Restart", "LeaseNotRenewed", "has not renewed its Lease for 31 s")
    given_up = judge(RUNS, [STALE], Record(5, 9999)).message
    assert given_up == "has not renewed its Lease for 31 s; it was restarted 5 times, without success: see its log"
    assert "restarted once," in judge(RUNS, [ONCE], Record(1, 9999)).message


PODS = st.one_of(
    st.none(),
    st.builds(
        Pod,
        terminating=st.booleans(),
        running_seconds=st.none() | st.floats(0, 1e4),
        crashed_seconds=st.none() | st.floats(0, 1e4),
    ),
)
SIGNS = st.lists(
    st.builds(Sign, st.just("Silent"), st.just("is silent"), st.floats(0, 1e4), st.floats(1, 1e3), st.integers(1, 5)),
    max_size=3,
)


@given(st.lists(st.tuples(st.floats(1, 600), PODS, SIGNS), max_size=60))
def test_deletions_that_do_not_help_become_rare_and_end(looks: list[tuple[float, Pod | None, list[Sign]]]) -> None:
    now, restarts, acted = 0.0, 0, float("-inf")
    for pause, pod, signs in looks:
        now += pause
        verdict = judge(pod, signs, Record(restarts, now - acted))
        if verdict.action == "Restart":
            # Something is there to be deleted, and something is wrong with it.
            assert pod is not None
            assert not pod.terminating
            assert pod.crashed_seconds is not None or any(s.age_seconds > s.limit_seconds for s in signs)
            assert now - acted >= restart_policy.backoff_seconds(restarts)
            restarts, acted = restarts + 1, now
    assert restarts <= restart_policy.RESTART_LIMIT


def test_the_pause_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [restart_policy.backoff_seconds(n) for n in range(7)] == [0, 60, 120, 240, 480, 900, 900]
