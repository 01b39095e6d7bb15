"""What the gateway lets in as a finding: nothing without measured evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.builders import baseline, done, experiment, kept, run, verdict

from rloop.admit.finding import admit
from rloop.api.iteration import Finding
from rloop.api.wire import FindingRequest
from rloop.errors import Refused

MEASURED = experiment("demo-i0001-e1", *done("screen", 0.9), phase="Rejected", verdict=verdict())


def known(*objects: Any) -> dict[str, Any]:
    return {one.metadata.name: one for one in objects}


@pytest.mark.parametrize(
    ("objects", "evidence", "refusal"),
    [
        pytest.param([], ["demo-i0001-e1"], "EvidenceUnknown", id="an experiment that nobody knows"),
        pytest.param([experiment()], ["demo-i0001-e1"], "EvidenceUnmeasured", id="one that has not run"),
        pytest.param(
            [experiment("demo-i0001-e1", run(phase="Failed"), phase="Failed", verdict=verdict("Error"))],
            ["demo-i0001-e1"],
            "EvidenceUnmeasured",
            id="one that failed",
        ),
        pytest.param(
            [experiment("demo-i0001-e1", run("screen", "Verifying", claimed=0.1))],
            ["demo-i0001-e1"],
            "EvidenceUnmeasured",
            id="one that only claims",
        ),
        pytest.param(
            [experiment("demo-i0001-e1", run("smoke", "Done"), kind="Smoke", phase="Passed")],
            ["demo-i0001-e1"],
            "EvidenceUnmeasured",
            id="a smoke test",
        ),
        pytest.param(
            [MEASURED, experiment("demo-i0001-e2")],
            ["demo-i0001-e1", "demo-i0001-e2"],
            "EvidenceUnmeasured",
            id="each piece must be measured",
        ),
    ],
)
def test_refusal(objects: list[Any], evidence: list[str], refusal: str) -> None:
    with pytest.raises(Refused) as caught:
        admit(FindingRequest(statement="it helps", evidence=evidence), known(*objects))
    assert caught.value.reason == refusal


@pytest.mark.parametrize("one", [MEASURED, kept(), baseline()])
def test_what_was_measured_is_evidence_whether_it_was_kept_or_not(one: Any) -> None:
    admit(FindingRequest(statement="it is so", evidence=[one.metadata.name]), known(one))


def test_the_same_finding_is_recorded_once() -> None:
    said = Finding(
        name="demo-i0001-s1-f1",
        statement="It helps a lot.",
        evidence=["demo-i0001-e1", "demo-b01"],
        session="demo-i0001-s1",
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    objects = known(MEASURED, kept("demo-i0001-e2"), baseline())

    def propose(statement: str, *evidence: str) -> None:
        admit(FindingRequest(statement=statement, evidence=list(evidence)), objects, [said])

    for statement in ("It helps a lot.", "it  helps a LOT"):
        with pytest.raises(Refused, match="demo-i0001-s1-f1 says the same") as caught:
            propose(statement, "demo-i0001-e1")
        assert caught.value.reason == "Repeated"
    propose("It helps a little.", "demo-i0001-e1")
    propose("It helps a lot.", "demo-i0001-e1", "demo-i0001-e2")


def test_a_finding_without_any_evidence_is_no_request() -> None:
    with pytest.raises(ValidationError):
        FindingRequest(statement="believe me", evidence=[])
