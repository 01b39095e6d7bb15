"""The working copy: what a decision contains, and that the snapshot it was made of stays as it was."""

from __future__ import annotations

from tests.support.builders import baseline, experiment, iteration, kept, moment, run, running, session
from tests.support.deciding import observed

from rloop.decide.draft import Draft


def test_a_decision_holds_only_what_differs() -> None:
    draft = Draft(observed(running(), baseline(), experiment("demo-i0001-e1", run())))
    draft.write_experiment("demo-i0001-e1", phase="Queued")
    draft.write(stale_count=0)
    assert draft.decision().experiments == ()
    assert draft.decision().status is None
    draft.write_experiment("demo-i0001-e1", phase="Running")
    assert [one.metadata.name for one in draft.decision().experiments] == ["demo-i0001-e1"]


def test_the_snapshot_is_never_changed() -> None:
    seen = observed(running(), baseline(), experiment("demo-i0001-e1", run()), iteration(1, session("Pending")))
    before = seen.experiments["demo-i0001-e1"].model_copy(deep=True)
    draft = Draft(seen)
    draft.write_run("demo-i0001-e1", run(phase="Running"))
    draft.write_run("demo-i0001-e1", run(number=2))
    draft.write_session("demo-i0001", session("Running"))
    assert seen.experiments["demo-i0001-e1"] == before
    assert [one.phase for one in draft.experiments["demo-i0001-e1"].status.runs] == ["Running", "Queued"]
    assert seen.iterations["demo-i0001"].status.sessions[0].phase == "Pending"


def test_the_incumbent_is_the_newest_keep_and_before_it_the_baseline() -> None:
    assert Draft(observed(running())).incumbent is None
    assert Draft(observed(running(), baseline(), experiment())).incumbent == baseline()
    both = [kept("demo-i0001-e1", keep=1), kept("demo-i0001-e2", keep=2)]
    draft = Draft(observed(running(status={"pivots": 3}), baseline(), *both))
    assert draft.incumbent == both[1]
    assert (draft.keeps, draft.generation) == (2, 5)


def test_the_incumbent_follows_what_the_decision_itself_keeps() -> None:
    draft = Draft(observed(running(), baseline(), experiment()))
    draft.write_experiment("demo-i0001-e1", verdict=kept().status.verdict, phase="Accepted")
    assert draft.incumbent is not None
    assert draft.incumbent.metadata.name == "demo-i0001-e1"


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    draft = Draft(observed(running(), now=moment(500)))
    draft.condition("Accepted", "True", "Other", "told anew")
    (found,) = draft.status.conditions
    assert (found.reason, found.last_transition_time) == ("Other", moment(0))
    draft.condition("Accepted", "False", "Other")
    assert draft.status.conditions[0].last_transition_time == moment(500)


def test_only_the_last_twenty_sentences_of_evidence_stay() -> None:
    draft = Draft(observed(running()))
    for number in range(30):
        draft.evidence(f"{number} {'x' * 2000}")
    assert [one.split()[0] for one in draft.status.watchdog.evidence] == [str(n) for n in range(10, 30)]
    assert max(map(len, draft.status.watchdog.evidence)) == 1024
